//! What comes from the terminal: what was typed while it was asked, then its events, without the
//! answers that come too late.

use std::{collections::VecDeque, io};

use crossterm::event::{Event, EventStream};
use futures_util::StreamExt as _;

use super::probe::{Answers, Late, Sorted};
use crate::app::Background;

/// Keys, pastes, sizes and focus, as they come.
pub struct Input {
    stream: EventStream,
    ready: VecDeque<Event>,
    /// As long as an answer may come.
    late: Option<Late>,
}

/// Something from the terminal.
#[derive(Debug, PartialEq)]
pub enum Heard {
    /// Somebody did something.
    Event(Event),
    /// It paints text on this.
    Background(Background),
}

impl Input {
    /// Begins to read, after the terminal was asked.
    pub(super) fn new(answers: Option<Answers>) -> Self {
        let is_complete = answers.as_ref().is_none_or(|answers| answers.is_complete);
        let typed = answers.into_iter().flat_map(|answers| answers.typed);
        Self {
            stream: EventStream::new(),
            ready: typed.map(Event::Key).collect(),
            late: (!is_complete).then(Late::default),
        }
    }

    /// The next thing; `None` if the terminal has gone.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn next(&mut self) -> Option<io::Result<Heard>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(Ok(Heard::Event(event)));
            }
            let event = match self.stream.next().await? {
                Ok(event) => event,
                Err(error) => return Some(Err(error)),
            };
            match &mut self.late {
                None => self.ready.push_back(event),
                Some(late) => match late.sort(event) {
                    Sorted::Events(events) => self.ready.extend(events),
                    Sorted::Swallowed(None) => {}
                    Sorted::Swallowed(Some(background)) => {
                        self.late = None;
                        return Some(Ok(Heard::Background(background)));
                    }
                },
            }
        }
    }
}
