//! Sequences for the terminal behind a multiplexer, which would keep them for itself or drop them.

use crate::app::Multiplexer;

/// Most characters of a sequence in one string of GNU screen: old versions keep 256 bytes of it, and
/// a character may take four.
const SCREEN_STRING_CHARS_MAX: usize = 60;

/// Wraps a sequence so that it reaches the terminal. It must end with BEL: the other end of a string,
/// `ESC \`, would end the wrapping of screen.
pub(super) fn wrap(sequence: &str, multiplexer: Option<Multiplexer>) -> String {
    match multiplexer {
        None => sequence.to_owned(),
        Some(Multiplexer::Tmux) => {
            format!("\x1bPtmux;{}\x1b\\", sequence.replace('\x1b', "\x1b\x1b"))
        }
        Some(Multiplexer::Screen) => {
            let characters: Vec<char> = sequence.chars().collect();
            let part = |part: &[char]| format!("\x1bP{}\x1b\\", part.iter().collect::<String>());
            characters.chunks(SCREEN_STRING_CHARS_MAX).map(part).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_multiplexer_is_told_in_its_way_to_pass_it_on() {
        let sequence = "\x1b]9;hello\x07";
        assert_eq!(wrap(sequence, None), sequence);
        let tmux = wrap(sequence, Some(Multiplexer::Tmux));
        assert_eq!(tmux, "\x1bPtmux;\x1b\x1b]9;hello\x07\x1b\\");
        assert_eq!(wrap(sequence, Some(Multiplexer::Screen)), "\x1bP\x1b]9;hello\x07\x1b\\");
    }

    #[test]
    fn screen_gets_no_string_that_is_too_long_for_it() {
        let sequence = format!("\x1b]9;{}\x07", "你".repeat(100));
        let wrapped = wrap(&sequence, Some(Multiplexer::Screen));
        let parts: Vec<&str> = wrapped.split("\x1b\\").filter(|part| !part.is_empty()).collect();
        assert!(parts.len() > 1 && parts.iter().all(|part| part.len() < 256));
        let inside: String = parts.iter().filter_map(|part| part.strip_prefix("\x1bP")).collect();
        assert_eq!(inside, sequence);
    }
}
