//! The terminal's clipboard, written with OSC 52. It is never read: a program that asks what lies
//! there learns what is none of its business.

use data_encoding::BASE64;

/// What stands between a program and the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Between {
    /// Nothing.
    Nothing,
    /// tmux, which takes the sequence for itself if it is told to, or passes on what is wrapped.
    Tmux,
}

impl Between {
    /// As the environment tells.
    pub fn of_environment() -> Self {
        match std::env::var_os("TMUX") {
            Some(socket) if !socket.is_empty() => Self::Tmux,
            Some(_) | None => Self::Nothing,
        }
    }
}

/// The sequence that puts a text into the clipboard. Control characters other than line ends and
/// tabs are left out: pasted into a shell, they would be keys.
pub fn sequence(text: &str, between: Between) -> String {
    let keeps = |character: &char| matches!(character, '\n' | '\t') || !character.is_control();
    let text: String = text.chars().filter(keeps).collect();
    let plain = format!("\x1b]52;c;{}\x07", BASE64.encode(text.as_bytes()));
    match between {
        Between::Nothing => plain,
        Between::Tmux => {
            let doubled = plain.replace('\x1b', "\x1b\x1b");
            format!("{plain}\x1bPtmux;{doubled}\x1b\\")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_one_sequence_without_controls() {
        let copied = sequence("a\nb\x1b[2J", Between::Nothing);
        assert_eq!(copied, format!("\x1b]52;c;{}\x07", BASE64.encode(b"a\nb[2J")));
    }

    #[test]
    fn tmux_gets_it_for_itself_and_for_the_terminal() {
        let copied = sequence("a", Between::Tmux);
        assert_eq!(copied, "\x1b]52;c;YQ==\x07\x1bPtmux;\x1b\x1b]52;c;YQ==\x07\x1b\\");
    }
}
