//! A line on standard error that says how far something is, for whoever watches a terminal.

use std::{
    future::pending,
    io::{self, IsTerminal as _, Write as _},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

/// Between two words on how far it is.
const INTERVAL: Duration = Duration::from_millis(500);

/// The line; nothing is written where standard error is no terminal.
#[derive(Debug)]
pub(super) struct Progress {
    is_watched: bool,
    /// When it says something again, and whether it has said anything.
    next: Instant,
    is_shown: bool,
}

impl Progress {
    pub(super) fn new() -> Self {
        let is_watched = io::stderr().is_terminal();
        Self { is_watched, next: Instant::now() + INTERVAL, is_shown: false }
    }

    /// Waits until it is time to show something; for ever, if nobody watches.
    pub(super) async fn tick(&self) {
        if self.is_watched { sleep_until(self.next).await } else { pending().await }
    }

    /// Shows what `words` says, if it is time again. They must fit on a line.
    pub(super) fn show(&mut self, words: impl FnOnce() -> String) {
        let now = Instant::now();
        if self.is_watched && now >= self.next {
            (self.next, self.is_shown) = (now + INTERVAL, true);
            // If standard error is closed there is nobody to tell.
            let _ = write!(io::stderr(), "\r{}\x1b[K", words());
        }
    }

    /// Takes the line away, for what comes next.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.is_shown) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
