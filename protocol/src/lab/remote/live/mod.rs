//! A run whose receiver is elsewhere, from its first packet to the last look.

use super::{Guest, RunName};
use crate::{
    lab::{
        experiment::{Broken, Experiment, Run, Way},
        stage::Stage,
        strategy::{Receiver as _, Sender},
    },
    time::Timestamp,
};

/// Things that happen in a run at most: 40 for each of the messages that a scenario may have. A host
/// could say something without end, and everything is kept.
const EVENTS_MAX: usize = 4_000_000;
/// Bytes of the receiver's packets at most, in all. What is delayed is kept, too.
const BACK_BYTES_MAX: u64 = 128 << 20;

/// A run that goes on. Its clock begins at [`Timestamp::ZERO`].
///
/// [`Self::step`] when [`Self::poll_timeout`] says so and after each [`Self::handle_datagram`], then
/// [`Self::poll_datagram`] until it gives nothing; until it has ended.
#[derive(Debug)]
pub struct Live<'e, S> {
    stage: Stage<'e, S, Guest>,
    /// No more packets: only what was given out is asked for.
    is_ending: bool,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It goes on.
    Running,
    /// It is over, and everything is known.
    Ended,
}

/// Why a run cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LiveError {
    /// The strategy, or the host that runs half of it, did what none may.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// The host is not heard any more.
    #[error("it no longer answers")]
    Gone,
    /// More has happened than is kept.
    #[error("more has come from it than one run may hold")]
    TooMuch,
}

impl<'e, S: Sender> Live<'e, S> {
    /// One that begins now, with a host that has said so.
    pub fn new(experiment: &'e Experiment, sender: S, run: RunName) -> Self {
        let guest = Guest::new(Timestamp::ZERO, run, experiment.traffic);
        Self { stage: Stage::new(experiment, (sender, guest)), is_ending: false }
    }

    /// Takes what came from the host.
    pub fn handle_datagram(&mut self, datagram: &[u8]) {
        self.stage.receiver_mut().handle_datagram(datagram);
    }

    /// Does everything that is due by `now`, which never goes back.
    ///
    /// # Errors
    ///
    /// If the run cannot go on.
    pub fn step(&mut self, now: Timestamp) -> Result<Progress, LiveError> {
        if !self.is_ending {
            self.stage.step(now)?;
            let Run { events, sent, .. } = self.stage.run();
            if events.len() > EVENTS_MAX || sent[Way::Back as usize].1 > BACK_BYTES_MAX {
                return Err(LiveError::TooMuch);
            }
            self.is_ending = self.stage.is_over() || now >= self.stage.ends();
            if self.is_ending {
                // The news of what was given out last may be lost.
                self.stage.receiver_mut().look_finally(now);
            }
        }
        let guest = self.stage.receiver_mut();
        if self.is_ending && guest.is_answered() {
            guest.leave();
            return Ok(Progress::Ended);
        }
        if self.is_ending && guest.poll_timeout().is_some_and(|due| due <= now) {
            guest.handle_timeout(now);
        }
        if guest.is_alone() { Err(LiveError::Gone) } else { Ok(Progress::Running) }
    }

    /// A datagram for the host.
    pub fn poll_datagram(&mut self) -> Option<Vec<u8>> {
        self.stage.receiver_mut().poll_datagram()
    }

    /// When time alone changes something.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        if self.is_ending {
            return self.stage.receiver().poll_timeout();
        }
        let ends = self.stage.ends();
        Some(self.stage.poll_timeout().map_or(ends, |next| next.min(ends)))
    }

    /// What has happened so far.
    pub const fn run(&self) -> &Run {
        self.stage.run()
    }

    /// What has happened in all, and the sender as it is in the end.
    ///
    /// # Errors
    ///
    /// If the strategy, or the host, did what none may.
    pub fn finish(self, now: Timestamp) -> Result<(Run, S), Broken> {
        let (run, (sender, _)) = self.stage.finish(now)?;
        Ok((run, sender))
    }
}

#[cfg(test)]
mod tests;
