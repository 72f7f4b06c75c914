//! The terminal's clipboard, written with OSC 52. It is never read: a program that asks what lies
//! there learns what is none of its business.

use data_encoding::BASE64;

use super::passthrough;
use crate::app::Multiplexer;

/// The sequence that puts a text into the clipboard. Control characters other than line ends and
/// tabs are left out: pasted into a shell, they would be keys.
pub(super) fn sequence(text: &str, multiplexer: Option<Multiplexer>) -> String {
    let keeps = |character: &char| matches!(character, '\n' | '\t') || !character.is_control();
    let text: String = text.chars().filter(keeps).collect();
    let plain = format!("\x1b]52;c;{}\x07", BASE64.encode(text.as_bytes()));
    match multiplexer {
        None => plain,
        // The multiplexer takes it for itself if it is told to, or passes on what is wrapped.
        Some(_) => format!("{plain}{}", passthrough::wrap(&plain, multiplexer)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_one_sequence_without_controls() {
        let copied = sequence("a\nb\x1b[2J", None);
        assert_eq!(copied, format!("\x1b]52;c;{}\x07", BASE64.encode(b"a\nb[2J")));
    }

    #[test]
    fn tmux_gets_it_for_itself_and_for_the_terminal() {
        let copied = sequence("a", Some(Multiplexer::Tmux));
        assert_eq!(copied, "\x1b]52;c;YQ==\x07\x1bPtmux;\x1b\x1b]52;c;YQ==\x07\x1b\\");
    }
}
