//! Standard output: results and nothing else, one line at a time.
//!
//! `--json` output also escapes what JSON would let through and a terminal would obey or hide:
//! DEL, C1, bidirectional and invisible characters. The values stay the same for whoever parses it.

use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

use serde::Serialize;
use serde_json::ser::{CharEscape, CompactFormatter, Formatter, Serializer};

use crate::{report::Failure, untrusted::is_deceptive};

/// What was asked for: plain lines or JSON lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// For people and line-oriented tools.
    Plain,
    /// For programs.
    Json,
}

/// Standard output, buffered until [`Output::flush`].
#[derive(Debug)]
pub struct Output {
    out: BufWriter<StdoutLock<'static>>,
    style: Style,
}

impl Output {
    /// Locks standard output for this process.
    pub fn new(style: Style) -> Self {
        Self { out: BufWriter::new(io::stdout().lock()), style }
    }

    /// What was asked for.
    pub const fn style(&self) -> Style {
        self.style
    }

    /// Writes a line that is fit for a terminal already.
    ///
    /// # Errors
    ///
    /// If nobody reads it, or the disk behind it is full.
    pub fn line(&mut self, line: &str) -> Result<(), Failure> {
        writeln!(self.out, "{line}").map_err(|error| Failure::io("cannot write the output", error))
    }

    /// Writes a value as one line of JSON.
    ///
    /// # Errors
    ///
    /// As [`Self::line`].
    pub fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let line = to_json(value);
        self.line(&line)
    }

    /// Hands everything to the reader.
    ///
    /// # Errors
    ///
    /// As [`Self::line`].
    pub fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(|error| Failure::io("cannot write the output", error))
    }
}

/// Says something to the person, beside the results.
pub fn tell(line: &str) {
    // If standard error is closed there is nobody to tell.
    let _ = writeln!(io::stderr(), "{line}");
}

/// True if standard output is a screen and colour was not switched off (<https://no-color.org>).
pub fn may_colour() -> bool {
    let wished = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    wished
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
        && io::stdout().is_terminal()
}

/// A value as JSON that is safe to print.
pub fn to_json(value: &impl Serialize) -> String {
    let mut bytes = Vec::with_capacity(256);
    value
        .serialize(&mut Serializer::with_formatter(&mut bytes, SafeFormatter(CompactFormatter)))
        .expect("our own values have string keys and no failing serializers");
    String::from_utf8(bytes).expect("JSON is UTF-8")
}

/// As compact as the default, with deceptive characters escaped.
struct SafeFormatter(CompactFormatter);

impl Formatter for SafeFormatter {
    fn write_string_fragment<W>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + Write,
    {
        let mut rest = fragment;
        while let Some((at, character)) = rest.char_indices().find(|(_, c)| is_deceptive(*c)) {
            writer.write_all(&rest.as_bytes()[..at])?;
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = &rest[at + character.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }

    fn write_char_escape<W>(&mut self, writer: &mut W, escape: CharEscape) -> io::Result<()>
    where
        W: ?Sized + Write,
    {
        self.0.write_char_escape(writer, escape)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn deceptive_characters_are_escaped() {
        let text = "a\u{7f}\u{9b}\u{202e}\u{200b}\u{e0041}é";
        assert_eq!(to_json(&text), r#""a\u007f\u009b\u202e\u200b\udb40\udc41é""#);
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back_the_same_and_is_harmless(text in any::<String>()) {
            let json = to_json(&text);
            prop_assert!(!json.chars().any(is_deceptive));
            prop_assert_eq!(serde_json::from_str::<String>(&json).expect("JSON"), text);
        }
    }
}
