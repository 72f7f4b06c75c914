//! What a person would see: a program's output as cells, and the answers a terminal gives to it.

use std::{fmt, num::NonZeroU16};

/// Columns and rows of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Columns.
    pub columns: u16,
    /// Rows.
    pub rows: u16,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.columns, self.rows)
    }
}

/// The terminal's side of a conversation with a program.
pub struct Screen {
    parser: vt100::Parser<Answers>,
}

impl Screen {
    /// An empty screen.
    pub fn new(size: Size) -> Self {
        let (rows, columns) = cells(size);
        Self { parser: vt100::Parser::new_with_callbacks(rows, columns, 0, Answers::default()) }
    }

    /// Takes what the program wrote; returns what the terminal answers to its questions.
    pub fn feed(&mut self, output: &[u8]) -> Vec<u8> {
        self.parser.process(output);
        std::mem::take(&mut self.parser.callbacks_mut().bytes)
    }

    /// The window has another size now. The program has to be told separately.
    pub fn resize(&mut self, size: Size) {
        let (rows, columns) = cells(size);
        self.parser.set_size(rows, columns);
    }

    /// Whether the program is in the midst of a frame, which a terminal shows when it is complete
    /// (DEC mode 2026).
    pub fn is_in_frame(&self) -> bool {
        self.parser.callbacks().is_in_frame
    }

    /// Whether these words stand in one row.
    pub fn shows(&self, words: &str) -> bool {
        self.rows().any(|row| row.contains(words))
    }

    /// How many rows hold these words.
    pub fn count(&self, words: &str) -> usize {
        self.rows().filter(|row| row.contains(words)).count()
    }

    /// The topmost row with these words.
    pub fn row(&self, words: &str) -> Option<String> {
        self.rows().find(|row| row.contains(words))
    }

    /// The rows from the top, blanks at their ends taken off.
    pub fn rows(&self) -> impl Iterator<Item = String> {
        let screen = self.parser.screen();
        let (_, columns) = screen.size();
        screen.rows(0, columns.get()).map(|row| row.trim_end().to_owned())
    }

    /// Whether the program has the screen for itself, and the shell's is kept aside.
    pub fn is_alternate(&self) -> bool {
        self.parser.screen().alternate_screen()
    }

    /// Whether everything is as a shell expects it: its own screen, a visible cursor, keys, mouse
    /// and pastes without extras.
    pub fn is_restored(&self) -> bool {
        let screen = self.parser.screen();
        !screen.alternate_screen()
            && !screen.hide_cursor()
            && !screen.bracketed_paste()
            && !screen.application_cursor()
            && screen.mouse_protocol_mode() == vt100::MouseProtocolMode::None
    }
}

impl fmt::Display for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in self.rows() {
            writeln!(f, "│{row}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A terminal without a cell is none: such a size is one cell.
fn cells(size: Size) -> (NonZeroU16, NonZeroU16) {
    let cell = |number| NonZeroU16::new(number).unwrap_or(NonZeroU16::MIN);
    (cell(size.rows), cell(size.columns))
}

/// What the terminal knows beside the cells.
#[derive(Debug, Default)]
struct Answers {
    /// What it has to say and has not said yet.
    bytes: Vec<u8>,
    is_in_frame: bool,
}

impl vt100::Callbacks for Answers {
    fn unhandled_csi(
        &mut self,
        screen: &mut vt100::Screen,
        prefix: Option<u8>,
        _: Option<u8>,
        parameters: &[&[u16]],
        end: char,
    ) {
        match (prefix, parameters, end) {
            // Where is the cursor? Counted from one.
            (None, [[6]], 'n') => {
                let (row, column) = screen.cursor_position();
                self.bytes.extend(format!("\x1b[{};{}R", row + 1, column + 1).bytes());
            }
            // What are you? A VT220 without extras: whoever probes for more gets a quick no.
            (None, [] | [[0]], 'c') => self.bytes.extend(b"\x1b[?62c"),
            (Some(b'?'), [[2026]], 'h' | 'l') => self.is_in_frame = end == 'h',
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { columns: 20, rows: 3 };

    #[test]
    fn words_are_found_where_they_stand_and_not_across_rows() {
        let mut screen = Screen::new(SIZE);
        assert_eq!(screen.feed("hé\x1b[2;5Hworld\r\nworld".as_bytes()), b"");
        assert!(screen.shows("world") && !screen.shows("hé world"));
        assert_eq!(screen.count("world"), 2);
        assert_eq!(screen.to_string(), "│hé\n│    world\n│world\n");
    }

    #[test]
    fn the_cursors_place_is_told_to_whoever_asks() {
        let mut screen = Screen::new(SIZE);
        assert_eq!(screen.feed(b"\x1b[2;5H\x1b[6n"), b"\x1b[2;5R");
        assert_eq!(screen.feed(b"\x1b[c"), b"\x1b[?62c");
    }

    #[test]
    fn a_frame_is_one_however_its_parts_arrive() {
        let mut screen = Screen::new(SIZE);
        screen.feed(b"\x1b[?2026hhal");
        assert!(screen.is_in_frame());
        screen.feed(b"f\x1b[?2026l");
        assert!(!screen.is_in_frame() && screen.shows("half"));
    }

    #[test]
    fn what_a_program_leaves_behind_is_noticed() {
        for (takes, gives_back) in [
            ("\x1b[?1049h", "\x1b[?1049l"),
            ("\x1b[?25l", "\x1b[?25h"),
            ("\x1b[?2004h", "\x1b[?2004l"),
        ] {
            let mut screen = Screen::new(SIZE);
            screen.feed(takes.as_bytes());
            assert!(!screen.is_restored(), "{takes:?}");
            screen.feed(gives_back.as_bytes());
            assert!(screen.is_restored(), "{takes:?}");
        }
    }
}
