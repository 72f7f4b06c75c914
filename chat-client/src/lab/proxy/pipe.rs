//! When the bytes of a connection leave, in one direction: all of the proxy for connections but its
//! sockets.
//!
//! Delay and jitter hold what was read in one piece; order is kept. A bottleneck and a blackout stop
//! the reading, so that the sender notices by TCP's own means.

use std::{collections::VecDeque, time::Duration};

use protocol::{
    lab::fault::{Faults, Impairer, Rate},
    time::Timestamp,
};

use super::{OUT, Settings, ways_of};

/// Bytes of one direction of a connection that are held at once: at 100 ms, they are 160 Mbit/s.
const HELD_BYTES_MAX: usize = 2 << 20;
/// Largest piece that is read at once.
pub(super) const PIECE_BYTES_MAX: usize = 16 * 1024;
/// Smallest, also at the slowest rate.
const PIECE_BYTES_MIN: usize = 256;
/// Before a bottleneck, pieces are as long as it takes so many milliseconds to send.
const PIECE_MILLIS: u64 = 4;

/// One direction of a connection.
#[derive(Debug)]
pub(super) struct Pipe {
    way: usize,
    impairer: Impairer,
    settings: Settings,
    /// In order of time.
    waiting: VecDeque<(Timestamp, Piece)>,
    held_bytes: usize,
    /// Nothing follows what waits.
    is_ended: bool,
}

/// What leaves.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Bytes, at least one.
    Bytes(Vec<u8>),
    /// The sender has closed its half.
    End,
}

impl Pipe {
    /// One of the n-th connection.
    pub(super) fn new(way: usize, settings: &Settings, seed: u64, order: u64) -> Self {
        let [out, back] = ways_of(settings, seed, order);
        let mut impairer = if way == OUT { out } else { back };
        impairer.set_faults(of_bytes(impairer.faults()));
        Self {
            way,
            impairer,
            settings: settings.clone(),
            waiting: VecDeque::new(),
            held_bytes: 0,
            is_ended: false,
        }
    }

    /// What happens from now on. What waits leaves when it was to.
    pub(super) fn set(&mut self, settings: Settings) {
        self.impairer.set_faults(of_bytes(&settings.effective()[self.way]));
        self.settings = settings;
    }

    /// How many bytes may be read now.
    pub(super) fn room(&self, now: Timestamp) -> usize {
        let is_full = self.held_bytes >= HELD_BYTES_MAX || self.queue_frees_at(now).is_some();
        if self.is_ended || is_full {
            return 0;
        }
        let rate = self.impairer.faults().rate;
        let piece = rate.map_or(u64::MAX, |rate| rate.bytes_per_second / 1_000 * PIECE_MILLIS);
        let piece = usize::try_from(piece).unwrap_or(usize::MAX);
        piece.clamp(PIECE_BYTES_MIN, PIECE_BYTES_MAX).min(HELD_BYTES_MAX - self.held_bytes)
    }

    /// Takes what was read.
    pub(super) fn handle_bytes(&mut self, now: Timestamp, bytes: &[u8]) {
        let at = self.leaves_at(now, bytes.len());
        self.held_bytes += bytes.len();
        self.waiting.push_back((at, Piece::Bytes(bytes.to_vec())));
    }

    /// There is nothing more to read.
    pub(super) fn handle_end(&mut self, now: Timestamp) {
        let at = self.leaves_at(now, 0);
        self.is_ended = true;
        self.waiting.push_back((at, Piece::End));
    }

    /// What leaves now.
    pub(super) fn poll_piece(&mut self, now: Timestamp) -> Option<Piece> {
        if self.settings.dark_until(self.way, now).is_some() {
            return None;
        }
        self.waiting.front().filter(|(at, _)| *at <= now)?;
        let (_, piece) = self.waiting.pop_front()?;
        if let Piece::Bytes(bytes) = &piece {
            self.held_bytes -= bytes.len();
        }
        Some(piece)
    }

    /// When something leaves next, or there is room again; `None` if only an input can change that.
    pub(super) fn poll_timeout(&self, now: Timestamp) -> Option<Timestamp> {
        let dark_until = self.settings.dark_until(self.way, now).unwrap_or(now);
        let leaves = self.waiting.front().map(|(at, _)| dark_until.max(*at));
        let frees = self.queue_frees_at(now).filter(|_| !self.is_ended);
        [leaves, frees].into_iter().flatten().min()
    }

    /// Bytes that wait.
    pub(super) const fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// When the queue before the bottleneck takes more, if it does not now.
    fn queue_frees_at(&self, now: Timestamp) -> Option<Timestamp> {
        let Rate { bytes_per_second, queue_bytes } = self.impairer.faults().rate?;
        let over = self.impairer.queued_bytes(now).checked_sub(queue_bytes).filter(|it| *it > 0)?;
        let micros = u128::from(over) * 1_000_000 / u128::from(bytes_per_second.max(1)) + 1;
        Some(now + Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX)))
    }

    fn leaves_at(&mut self, now: Timestamp, bytes: usize) -> Timestamp {
        // Nothing is read while the queue is full, and nothing else is left that could be refused.
        self.impairer.pass(now, bytes).map_or(now, |(first, _)| first.at)
    }
}

/// What can be done to bytes of a connection.
fn of_bytes(faults: &Faults) -> Faults {
    let Faults { delay, jitter, rate, .. } = *faults;
    Faults { delay, jitter, rate, ..Faults::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(millis * 1_000)
    }

    fn pipe(words: &[&str]) -> Pipe {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let settings = Settings::new(None, &words, &[]).expect("these words are right");
        Pipe::new(OUT, &settings, 1, 0)
    }

    fn bytes(text: &str) -> Piece {
        Piece::Bytes(text.into())
    }

    #[test]
    fn the_end_comes_after_what_was_said_and_as_late() {
        let mut pipe = pipe(&["delay 50ms", "jitter 20ms"]);
        pipe.handle_bytes(at(0), b"last words");
        pipe.handle_end(at(0));
        assert_eq!((pipe.poll_piece(at(49)), pipe.room(at(49))), (None, 0));
        assert_eq!(pipe.poll_piece(at(70)), Some(bytes("last words")));
        assert_eq!(pipe.poll_piece(at(70)), Some(Piece::End));
        assert_eq!(pipe.poll_timeout(at(70)), None);
    }

    #[test]
    fn a_bottleneck_lets_so_many_bytes_through_and_then_stops_the_reading() {
        // 100,000 bytes in a second.
        let mut pipe = pipe(&["rate 800kbit", "queue 2kB"]);
        let mut read = 0;
        while let room @ 1.. = pipe.room(at(0)) {
            pipe.handle_bytes(at(0), &vec![0; room]);
            read += room;
        }
        assert!((2_000..=2_800).contains(&read), "the queue and one piece: {read}");
        let frees = pipe.poll_timeout(at(0)).expect("it frees");
        assert!(frees <= at(8) && pipe.room(frees) > 0, "{frees:?}");
        let mut left = 0;
        while let Some(Piece::Bytes(bytes)) = pipe.poll_piece(at(10)) {
            left += bytes.len();
        }
        assert!((600..=1_000).contains(&left), "{left} in 10 ms");
    }

    #[test]
    fn a_stall_holds_everything_until_it_is_over() {
        let mut pipe = pipe(&["blackout 10ms..500ms"]);
        pipe.handle_bytes(at(9), b"before");
        assert_eq!(pipe.poll_piece(at(9)), Some(bytes("before")));
        pipe.handle_bytes(at(20), b"during");
        assert_eq!((pipe.poll_piece(at(499)), pipe.poll_timeout(at(20))), (None, Some(at(500))));
        assert_eq!(pipe.poll_piece(at(500)), Some(bytes("during")));
    }

    #[test]
    fn a_reader_that_does_not_read_costs_so_much_memory_and_no_more() {
        let mut pipe = pipe(&["delay 10s"]);
        while let room @ 1.. = pipe.room(at(0)) {
            pipe.handle_bytes(at(0), &vec![0; room]);
        }
        assert_eq!(pipe.held_bytes(), HELD_BYTES_MAX);
    }
}
