//! Lines in and lines out. The terminal's own driver edits what is written, as it does for every
//! plain program: what reads it aloud knows how. Neither end has to be a terminal.

use std::{
    io::{self, BufRead, IsTerminal as _, Read as _, Write as _},
    thread,
};

use tokio::sync::mpsc;

use crate::app::composer::COMPOSER_BYTES_MAX;

/// Lines that may wait until somebody takes them.
const WAITING_MAX: usize = 16;

/// Standard input and output, line by line.
pub struct Lines {
    input: mpsc::Receiver<io::Result<Written>>,
    is_conversation: bool,
    /// The prompt stands at the left of the last row, with what is being written.
    is_prompted: bool,
}

/// A line that somebody wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// It.
    Line(String),
    /// It cannot be taken, and why.
    Unfit(&'static str),
}

impl Lines {
    /// Begins to read standard input.
    ///
    /// # Errors
    ///
    /// If there can be no thread for that.
    pub fn open() -> io::Result<Self> {
        let (lines, input) = mpsc::channel(WAITING_MAX);
        // Ends with the input, or with the process: nothing can wake a read.
        thread::Builder::new().name("lines".to_owned()).spawn(move || {
            let mut stdin = io::stdin().lock();
            while let Some(line) = read(&mut stdin).transpose() {
                let is_over = line.is_err();
                if lines.blocking_send(line).is_err() || is_over {
                    return;
                }
            }
        })?;
        let is_conversation = io::stdin().is_terminal() && io::stdout().is_terminal();
        Ok(Self { input, is_conversation, is_prompted: false })
    }

    /// Whether somebody answers what they read. Otherwise lines come as fast as they are taken.
    pub const fn is_conversation(&self) -> bool {
        self.is_conversation
    }

    /// The next line; `None` at the end of the input.
    ///
    /// # Cancel safety
    ///
    /// No line is lost.
    pub async fn next(&mut self) -> Option<io::Result<Written>> {
        let line = self.input.recv().await?;
        // Writing it has ended with a new row.
        self.is_prompted = false;
        Some(line)
    }

    /// Prints lines, and below them where the next one is written.
    ///
    /// # Errors
    ///
    /// If nobody reads them.
    pub fn print(&mut self, lines: &[String], prompt: &str) -> io::Result<()> {
        let mut output = io::stdout().lock();
        if self.is_prompted && !lines.is_empty() {
            self.is_prompted = false;
            writeln!(output)?;
        }
        for line in lines {
            writeln!(output, "{line}")?;
        }
        if self.is_conversation && !self.is_prompted && !prompt.is_empty() {
            self.is_prompted = true;
            write!(output, "{prompt}> ")?;
        }
        output.flush()
    }

    /// Ends the row of the prompt, so that the shell begins a new one.
    pub fn close(&mut self) {
        if std::mem::take(&mut self.is_prompted) {
            // Nothing can be done about a terminal that has gone.
            let _ = writeln!(io::stdout());
        }
    }
}

/// One line without its end; `None` at the end of the input. Of one that is too long, nothing is
/// kept.
fn read(input: &mut impl BufRead) -> io::Result<Option<Written>> {
    let most = u64::try_from(COMPOSER_BYTES_MAX).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    // One more than fits, and the end of the line.
    input.by_ref().take(most + 2).read_until(b'\n', &mut bytes)?;
    if bytes.is_empty() {
        return Ok(None);
    }
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    } else if bytes.len() > COMPOSER_BYTES_MAX {
        input.skip_until(b'\n')?;
        return Ok(Some(Written::Unfit("that line is too long for one message")));
    }
    Ok(Some(match String::from_utf8(bytes) {
        Ok(line) => Written::Line(line.trim_end_matches('\r').to_owned()),
        Err(_) => Written::Unfit("that line is not UTF-8"),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(input: &mut &[u8]) -> String {
        match read(input).unwrap() {
            Some(Written::Line(line)) => line,
            other => panic!("no line: {other:?}"),
        }
    }

    #[test]
    fn lines_end_as_they_end_anywhere() {
        let mut input = &b"one\r\n\ntwo"[..];
        assert_eq!(line(&mut input), "one");
        assert_eq!(line(&mut input), "");
        assert_eq!(line(&mut input), "two");
        assert_eq!(read(&mut input).unwrap(), None);
    }

    #[test]
    fn what_is_no_message_is_left_out_and_the_next_line_is_taken() {
        let mut input = vec![b'x'; COMPOSER_BYTES_MAX];
        input.extend(b"\n");
        input.extend(vec![b'x'; 2 * COMPOSER_BYTES_MAX]);
        input.extend(b"\n\xff\nnext\n");
        let mut input = &input[..];
        assert_eq!(line(&mut input), "x".repeat(COMPOSER_BYTES_MAX));
        assert!(matches!(read(&mut input).unwrap(), Some(Written::Unfit(_))));
        assert!(matches!(read(&mut input).unwrap(), Some(Written::Unfit(_))));
        assert_eq!(line(&mut input), "next");
    }
}
