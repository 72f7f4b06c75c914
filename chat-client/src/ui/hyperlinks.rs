//! Tells the terminal which cells are a link (OSC 8), so that it can open it or copy all of it,
//! also where it is broken into rows.
//!
//! What is a link goes into the cell it begins with, whole, as wide as it is on the row: a frame is
//! then compared with the last one as always, and a link is written anew if anything of it changed.

use std::{fmt::Write as _, num::NonZeroU16};

use ratatui::{
    buffer::{Buffer, CellDiffOption, CellWidth as _},
    layout::Rect,
};

use super::row::Linked;
use crate::app::links;

/// Longest link: terminals cut or ignore longer ones (VTE: 2083 bytes).
const TARGET_BYTES_MAX: usize = 2_083;

/// The links on a screen that is being drawn.
#[derive(Debug, Default)]
pub(super) struct Hyperlinks {
    placed: Vec<Placed>,
}

#[derive(Debug)]
struct Placed {
    column: u16,
    row: u16,
    columns: NonZeroU16,
    link: Linked,
}

impl Hyperlinks {
    /// Notes those of a row that is drawn here.
    pub(super) fn note(&mut self, area: Rect, links: &[Linked]) {
        self.placed.extend(links.iter().filter_map(|link| {
            let start = u16::try_from(link.columns.start).ok()?;
            let end = u16::try_from(link.columns.end).ok().filter(|end| *end <= area.width)?;
            let columns = NonZeroU16::new(end.checked_sub(start)?)?;
            Some(Placed { column: area.x + start, row: area.y, columns, link: link.clone() })
        }));
    }

    /// Makes links of them on a screen that is drawn. What something was drawn over is none.
    pub(super) fn apply(self, buffer: &mut Buffer) {
        for placed in self.placed {
            if let Some(target) = target(&placed.link.target)
                && placed.is_shown(buffer)
            {
                placed.apply(buffer, &target);
            }
        }
    }
}

impl Placed {
    /// True if its text stands there, all of it in one look.
    fn is_shown(&self, buffer: &Buffer) -> bool {
        let end = self.column + self.columns.get();
        let mut shown = String::new();
        let mut column = self.column;
        let mut style = None;
        while column < end {
            let Some(cell) = buffer.cell((column, self.row)) else { return false };
            if *style.get_or_insert(cell.style()) != cell.style() {
                return false;
            }
            shown.push_str(cell.symbol());
            column += cell.cell_width().max(1);
        }
        shown == self.link.text
    }

    fn apply(&self, buffer: &mut Buffer, target: &str) {
        let Self { column, row, columns, link } = self;
        for column in column + 1..column + columns.get() {
            // Not compared while the link stands, and unlike anything that may follow it.
            buffer[(column, *row)].set_diff_option(CellDiffOption::Skip);
        }
        // Parts with one name and one target are one link.
        let linked = format!("\x1b]8;id=l;{target}\x1b\\{}\x1b]8;;\x1b\\", link.text);
        let cell = &mut buffer[(*column, *row)];
        cell.set_symbol(&linked).set_diff_option(CellDiffOption::ForcedWidth(*columns));
    }
}

/// A link as the terminal takes it: printable ASCII. `None` if it is not to be opened by a mere
/// click.
fn target(link: &str) -> Option<String> {
    if links::warning(link).is_some() {
        return None;
    }
    let mut target = String::with_capacity(link.len());
    for byte in link.bytes() {
        if byte.is_ascii_graphic() {
            target.push(char::from(byte));
        } else {
            write!(target, "%{byte:02X}").expect("writing to a String does not fail");
        }
    }
    (target.len() <= TARGET_BYTES_MAX).then_some(target)
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, io, rc::Rc};

    use proptest::prelude::*;
    use ratatui::{
        Terminal, TerminalOptions, Viewport,
        backend::{CrosstermBackend, TestBackend},
        buffer::Cell,
    };

    use super::*;
    use crate::{
        app::{
            App,
            fixture::{app, id, load, press, room, text},
        },
        ui::view,
    };

    const OPEN: &str = "\x1b]8;id=l;";
    const CLOSE: &str = "\x1b]8;;\x1b\\";

    fn saying(words: &str) -> App {
        let mut app = app(vec![room(1, "lobby")]);
        app.abilities.may_be_asked = true;
        app.abilities.has_links = true;
        load(&mut app, id(1), vec![text(1, "bea", words)]);
        app
    }

    fn drawn(app: &App, width: u16) -> Buffer {
        let mut terminal = Terminal::new(TestBackend::new(width, 12)).expect("infallible");
        terminal.draw(|frame| _ = view(app, frame)).expect("infallible");
        terminal.backend().buffer().clone()
    }

    fn linked(buffer: &Buffer) -> Vec<&str> {
        let symbols = buffer.content.iter().map(Cell::symbol);
        symbols.filter(|symbol| symbol.contains('\x1b')).collect()
    }

    #[test]
    fn each_row_of_a_link_is_part_of_one() {
        let app = saying("see https://a.example/ä/long-enough-for-two-rows-of-it?x=1");
        let target = "https://a.example/%C3%A4/long-enough-for-two-rows-of-it?x=1";
        assert_eq!(
            linked(&drawn(&app, 40)),
            [
                format!("{OPEN}{target}\x1b\\https://a.example/ä/long-enough-for-two{CLOSE}"),
                format!("{OPEN}{target}\x1b\\-rows-of-it?x=1{CLOSE}"),
            ]
        );
    }

    #[test]
    fn nothing_is_told_to_a_terminal_that_may_not_know_it() {
        let mut app = saying("https://a.example");
        let count = |app: &App| linked(&drawn(app, 40)).len();
        assert_eq!(count(&app), 1);
        press(&mut app, "/set ui.hyperlinks off<enter>");
        assert_eq!(count(&app), 0);
        press(&mut app, "/set ui.hyperlinks on<enter>");
        app.abilities.has_links = false;
        assert_eq!(count(&app), 1);
        app.abilities.may_be_asked = false;
        assert_eq!(count(&app), 0);
    }

    #[test]
    fn a_link_that_is_doubtful_or_too_long_is_none() {
        let long = format!("https://a.example/{}", "x".repeat(TARGET_BYTES_MAX));
        for words in ["https://bank.example@evil.example/", "https://bаnk.example", &long] {
            assert_eq!(linked(&drawn(&saying(words), 80)), [""; 0]);
        }
    }

    #[test]
    fn what_is_drawn_over_is_no_link() {
        let mut app = saying("https://a.example/1\nhttps://a.example/2\nhttps://a.example/3");
        assert_eq!(linked(&drawn(&app, 40)).len(), 3);
        press(&mut app, "/me");
        let buffer = drawn(&app, 40);
        assert!(linked(&buffer).len() < 3, "{:?}", linked(&buffer));
    }

    /// What a terminal has shown, which does not know links.
    #[derive(Clone)]
    struct Shown(Rc<RefCell<vt100::Parser>>);

    impl io::Write for Shown {
        fn write(&mut self, sent: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().process(sent);
            Ok(sent.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn links_change_nothing_of_what_is_seen() {
        let (width, height) = (40, 12);
        let size = |cells| NonZeroU16::new(cells).expect("not zero");
        let parser = vt100::Parser::new(size(height), size(width), 0);
        let shown = Shown(Rc::new(RefCell::new(parser)));
        let viewport = Viewport::Fixed(Rect::new(0, 0, width, height));
        let backend = CrosstermBackend::new(shown.clone());
        let options = TerminalOptions { viewport };
        let mut terminal = Terminal::with_options(backend, options).expect("a fixed size");
        let mut app = saying("日本 https://a.example/日本/long-enough-for-two-rows-of-it?x=1 ok");
        for keys in ["", "<S-up>", "<esc>", "/me", "<C-c>", "/set ui.hyperlinks off<enter>", "<f1>"]
        {
            press(&mut app, keys);
            terminal.draw(|frame| _ = view(&app, frame)).expect("it takes all");
            let mut plain = app.clone();
            plain.abilities.has_links = false;
            let expected = drawn(&plain, width);
            let expected = expected.content.chunks(width.into()).map(|row| {
                let mut cells = row.iter();
                let mut text = String::new();
                while let Some(cell) = cells.next() {
                    text.push_str(cell.symbol());
                    // What a wide character covers.
                    (1..cell.cell_width()).for_each(|_| _ = cells.next());
                }
                text.trim_end().to_owned()
            });
            let parser = shown.0.borrow();
            let seen = parser.screen().rows(0, width).map(|row| row.trim_end().to_owned());
            assert_eq!(seen.collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "after {keys:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_escapes_from_a_link(
            words in "(see )?https?://[a-z.;\\\\\u{1b}\u{7}\u{9c}\u{202e}日/ ]{1,60}",
            width in 20_u16..90,
        ) {
            let app = saying(&words);
            let buffer = drawn(&app, width);
            for symbol in linked(&buffer) {
                let rest = symbol.strip_prefix(OPEN).expect("it begins a link");
                let (target, rest) = rest.split_once("\x1b\\").expect("the target ends");
                prop_assert!(target.starts_with("http"));
                prop_assert!(target.bytes().all(|byte| byte.is_ascii_graphic()));
                let shown = rest.strip_suffix(CLOSE).expect("it ends");
                prop_assert!(!shown.chars().any(char::is_control));
            }
        }
    }
}
