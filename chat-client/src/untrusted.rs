//! Text that somebody else wrote, on its way to a place where characters can do harm.
//!
//! A terminal obeys escape sequences, a bidirectional override turns a line around, an invisible
//! character makes two names look alike, a file name climbs out of its directory. [`Untrusted`]
//! gives its text away only in a form that fits the place. Harmful characters become marks and are
//! never dropped: dropping one would let `1<ESC>0` pose as `10`.

use std::fmt::Write as _;

use unicode_segmentation::UnicodeSegmentation;

/// Longest piece of foreign text in one log line.
const LOG_CHARS_MAX: usize = 200;
/// Longest foreign text in a window title.
const TITLE_CHARS_MAX: usize = 64;
/// Longest file name made of foreign text: leaves room for an extension under every file system's
/// limit of 255 bytes.
const FILE_NAME_BYTES_MAX: usize = 100;
/// Most marks that may follow one base character: more only paint over the lines above and below.
const COMBINING_MAX: usize = 4;

/// A borrowed text from a peer, a relay or a file, not yet fit for any sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Untrusted<'a>(&'a str);

impl<'a> Untrusted<'a> {
    /// Wraps a text of foreign origin.
    pub const fn new(text: &'a str) -> Self {
        Self(text)
    }

    /// For one line of plain output: no line breaks, no control, bidi or invisible characters. A
    /// text that runs right to left is isolated, so that it cannot reorder what surrounds it.
    pub fn for_line(self) -> String {
        let shown = self.for_cell();
        if shown.chars().any(is_right_to_left) { format!("\u{2068}{shown}\u{2069}") } else { shown }
    }

    /// For cells of the screen: as [`Self::for_line`], but without the isolates, since cells are
    /// placed one by one.
    pub fn for_cell(self) -> String {
        let mut shown = String::with_capacity(self.0.len());
        for cluster in self.0.graphemes(true) {
            show_cluster(cluster, &mut shown);
        }
        shown
    }

    /// The lines of a longer text, each as [`Self::for_line`].
    pub fn for_lines(self) -> impl Iterator<Item = String> {
        self.0.split('\n').map(|line| {
            let line = line.strip_suffix('\r').unwrap_or(line);
            Untrusted(&line.replace('\t', "    ")).for_line()
        })
    }

    /// For one line of a log: as [`Self::for_line`], and short.
    pub fn for_log(self) -> String {
        Untrusted(&shortened(self.0, LOG_CHARS_MAX)).for_line()
    }

    /// For the title of a window: as [`Self::for_cell`], and short.
    pub fn for_title(self) -> String {
        Untrusted(&shortened(self.0, TITLE_CHARS_MAX)).for_cell()
    }

    /// For a notification of the desktop: as [`Self::for_cell`] in one line, and no longer than this.
    pub fn for_notification(self, chars_max: usize) -> String {
        let line = shortened(&self.0.replace(['\r', '\n', '\t'], " "), chars_max);
        shortened(&Untrusted(&line).for_cell(), chars_max)
    }

    /// For the name of a file in a directory of ours: one path component that is never empty,
    /// hidden, special, or longer than a file system takes.
    pub fn for_file_name(self) -> String {
        let mut name = String::new();
        for character in self.0.chars() {
            let plain = character.is_alphanumeric() || matches!(character, '-' | '_' | '.' | '+');
            let character = if plain { character } else { '_' };
            if name.len() + character.len_utf8() > FILE_NAME_BYTES_MAX {
                break;
            }
            name.push(character);
        }
        let name = name.trim_matches('.');
        let stem = name.split('.').next().unwrap_or_default();
        if stem.is_empty() || RESERVED_FILE_STEMS.contains(&stem.to_ascii_lowercase().as_str()) {
            return format!("_{name}");
        }
        name.to_owned()
    }
}

/// Names that some systems give to devices, whatever their extension.
const RESERVED_FILE_STEMS: [&str; 22] = [
    "con", "prn", "aux", "nul", "com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8",
    "com9", "lpt1", "lpt2", "lpt3", "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9",
];

/// True for a character that nobody can see or that changes how others are seen: a control, a
/// bidirectional or formatting character, a line separator, a private or unassigned tag.
pub fn is_deceptive(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{FFF9}'..='\u{FFFB}')
        || is_default_ignorable(character)
}

/// Unicode's `Default_Ignorable_Code_Point`, all of it (version 16, `DerivedCoreProperties.txt`).
const fn is_default_ignorable(character: char) -> bool {
    matches!(
        character,
        '\u{AD}'
            | '\u{34F}'
            | '\u{61C}'
            | '\u{115F}'..='\u{1160}'
            | '\u{17B4}'..='\u{17B5}'
            | '\u{180B}'..='\u{180F}'
            | '\u{200B}'..='\u{200F}'
            | '\u{202A}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}'
            | '\u{3164}'
            | '\u{FE00}'..='\u{FE0F}'
            | '\u{FEFF}'
            | '\u{FFA0}'
            | '\u{FFF0}'..='\u{FFF8}'
            | '\u{1BCA0}'..='\u{1BCA3}'
            | '\u{1D173}'..='\u{1D17A}'
            | '\u{E0000}'..='\u{E0FFF}'
    )
}

/// Strong right-to-left characters, by block (`DerivedBidiClass.txt`, classes R and AL).
const fn is_right_to_left(character: char) -> bool {
    matches!(
        character,
        '\u{590}'..='\u{8FF}'
            | '\u{FB1D}'..='\u{FDFF}'
            | '\u{FE70}'..='\u{FEFE}'
            | '\u{10800}'..='\u{10FFF}'
            | '\u{1E800}'..='\u{1EFFF}'
    )
}

fn show_cluster(cluster: &str, shown: &mut String) {
    let mut previous = None;
    let mut combining = 0;
    let mut rest = cluster.chars().peekable();
    while let Some(character) = rest.next() {
        let joins = is_joiner_in_place(previous, character, rest.peek().copied());
        let stacks = unicode_width::UnicodeWidthChar::width(character) == Some(0) && !joins;
        combining = if stacks { combining + 1 } else { 0 };
        if (is_deceptive(character) && !joins) || combining > COMBINING_MAX {
            push_mark(character, shown);
        } else {
            shown.push(character);
        }
        previous = Some(character);
    }
}

/// A joiner or variation selector where writing needs it: inside an emoji or between letters of a
/// script that joins. ASCII needs neither, so between ASCII letters they only hide.
fn is_joiner_in_place(before: Option<char>, character: char, after: Option<char>) -> bool {
    let visible = |c: char| !is_deceptive(c) || matches!(c, '\u{FE0E}' | '\u{FE0F}');
    let joined = |c: Option<char>| c.is_some_and(|c| !c.is_ascii() && visible(c));
    match character {
        '\u{200D}' => joined(before) && joined(after),
        // Between clusters it stands last in its own; what follows cannot be seen from here.
        '\u{200C}' => joined(before),
        '\u{FE0E}' | '\u{FE0F}' => before.is_some_and(|c| {
            (!c.is_ascii() && !is_deceptive(c)) || c.is_ascii_digit() || matches!(c, '#' | '*')
        }),
        _ => false,
    }
}

fn push_mark(character: char, shown: &mut String) {
    match character {
        '\0'..='\u{1F}' => shown.push(picture(0x2400, character)),
        '\u{7F}' => shown.push('\u{2421}'),
        other => {
            write!(shown, "\u{27E8}U+{:04X}\u{27E9}", u32::from(other))
                .expect("writing to a String does not fail");
        }
    }
}

/// The picture Unicode has for a control character.
fn picture(base: u32, character: char) -> char {
    char::from_u32(base + u32::from(character)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn shortened(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(text: &str) -> String {
        Untrusted::new(text).for_line()
    }

    #[test]
    fn controls_become_marks_and_are_not_dropped() {
        assert_eq!(line("1\u{1b}[2J0"), "1␛[2J0");
        assert_eq!(line("a\nb\u{7f}"), "a␊b␡");
        assert_eq!(line("\u{9b}31m"), "⟨U+009B⟩31m");
    }

    #[test]
    fn bidi_and_invisible_characters_become_marks() {
        assert_eq!(line("ab\u{202e}cd"), "ab⟨U+202E⟩cd");
        assert_eq!(line("ad\u{200b}min"), "ad⟨U+200B⟩min");
        assert_eq!(line("ad\u{200d}min"), "ad⟨U+200D⟩min");
        assert_eq!(line("x\u{e0041}"), "x⟨U+E0041⟩");
    }

    #[test]
    fn emoji_and_joining_scripts_stay_whole() {
        for text in ["👩\u{200d}👩\u{200d}👧", "❤\u{fe0f}", "1\u{fe0f}\u{20e3}", "é", "日本語"]
        {
            assert_eq!(line(text), text);
        }
        assert_eq!(line("می\u{200c}خواهم"), "\u{2068}می\u{200c}خواهم\u{2069}");
    }

    #[test]
    fn right_to_left_text_cannot_reorder_its_surroundings() {
        assert_eq!(line("שלום"), "\u{2068}שלום\u{2069}");
        assert_eq!(Untrusted::new("שלום").for_cell(), "שלום");
    }

    #[test]
    fn a_tower_of_combining_marks_ends() {
        let tower = format!("a{}", "\u{301}".repeat(50));
        assert_eq!(line(&tower).matches('\u{301}').count(), COMBINING_MAX);
    }

    #[test]
    fn file_names_stay_in_their_directory() {
        let name = |text| Untrusted::new(text).for_file_name();
        assert_eq!(name("../../etc/passwd"), "_.._etc_passwd");
        assert_eq!(name(".bashrc"), "bashrc");
        assert_eq!(name(".."), "_");
        assert_eq!(name(""), "_");
        assert_eq!(name("NUL.txt"), "_NUL.txt");
        assert_eq!(name("Ada\u{202e} L"), "Ada__L");
        assert!(name(&"ж".repeat(500)).len() <= FILE_NAME_BYTES_MAX);
    }

    #[test]
    fn long_text_is_short_in_a_title() {
        let title = Untrusted::new(&"x".repeat(500)).for_title();
        assert_eq!(title.chars().count(), TITLE_CHARS_MAX + 1);
    }

    proptest! {
        #[test]
        fn no_text_gets_a_control_character_through(text in any::<String>()) {
            let untrusted = Untrusted::new(&text);
            for shown in [untrusted.for_line(), untrusted.for_cell(), untrusted.for_log()] {
                prop_assert!(!shown.chars().any(char::is_control));
                let bidi = |c| matches!(c, '\u{202A}'..='\u{202E}' | '\u{200E}' | '\u{200F}');
                prop_assert!(!shown.chars().any(bidi));
            }
        }

        #[test]
        fn any_text_makes_one_path_component(text in any::<String>()) {
            let name = Untrusted::new(&text).for_file_name();
            prop_assert!(!name.is_empty() && !name.starts_with('.') && name.len() < 255);
            prop_assert_eq!(std::path::Path::new(&name).components().count(), 1);
        }
    }
}
