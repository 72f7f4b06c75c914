//! A child's output, line by line, to be waited for while it runs.

use std::{
    io::{BufRead, BufReader, Read},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// How long a line may take, on a slow machine too.
const WITHIN: Duration = Duration::from_secs(60);

/// The lines so far. A thread goes on reading, so that the child never blocks on a full pipe.
#[derive(Clone, Debug)]
pub struct Lines(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<String>,
    is_over: bool,
}

impl Lines {
    /// Collects the lines of a pipe.
    pub fn of(pipe: impl Read + Send + 'static) -> Self {
        let lines = Self(Arc::default());
        let shared = Arc::clone(&lines.0);
        // Ends with the pipe.
        thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                shared.lock().lines.push(line);
                shared.changed.notify_all();
            }
            shared.lock().is_over = true;
            shared.changed.notify_all();
        });
        lines
    }

    /// Waits until a line is as described; the first such line.
    ///
    /// # Panics
    ///
    /// With all lines, if none comes in time or the output ends before.
    #[track_caller]
    pub fn wait_for(&self, what: &str, is_it: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + WITHIN;
        let mut state = self.0.lock();
        let mut looked_at = 0;
        loop {
            if let Some(line) = state.lines[looked_at..].iter().find(|line| is_it(line)) {
                return line.clone();
            }
            looked_at = state.lines.len();
            let left = deadline.saturating_duration_since(Instant::now());
            let goes_on = !state.is_over && !left.is_zero();
            assert!(goes_on, "no line with {what} among:\n{}", state.lines.join("\n"));
            let waited = self.0.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The lines so far.
    pub fn so_far(&self) -> Vec<String> {
        self.0.lock().lines.clone()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_comes_later_is_waited_for() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let lines = Lines::of(reader);
        let waiting = thread::spawn(move || lines.wait_for("b", |line| line.starts_with('b')));
        std::io::Write::write_all(&mut writer, b"a\nb1\nb2\n").unwrap();
        assert_eq!(waiting.join().unwrap(), "b1");
    }

    #[test]
    #[should_panic(expected = "no line with c among:\na\nb")]
    fn an_output_that_ends_is_not_waited_for() {
        Lines::of(&b"a\nb\n"[..]).wait_for("c", |line| line == "c");
    }
}
