//! What the player shows and what keys do to it. Pure: time comes as an argument, runs are computed.

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use protocol::lab::{
    experiment::{Broken, Experiment},
    scenario::{Scenario, Strategy},
};

use super::film::Film;

/// Speeds, in tenths of real time.
const SPEEDS: [u32; 7] = [1, 2, 5, 10, 20, 50, 100];
/// The one to begin with: real time.
const SPEED_FIRST: usize = 3;

/// Keys and what they do, as the help shows them.
pub const KEYS: &[(&str, &str)] = &[
    ("Space", "pause, or go on"),
    (". Right", "one packet on"),
    (", Left", "one packet back"),
    ("n", "to the next packet that carries something again"),
    ("+ -", "faster, slower"),
    ("s", "the next strategy, on the same losses"),
    ("Home End", "to the beginning, to the end"),
    ("?", "these keys"),
    ("q", "leave"),
];

/// The player.
#[derive(Debug)]
pub struct Player {
    title: String,
    experiment: Experiment,
    strategies: Vec<Strategy>,
    chosen: usize,
    film: Film,
    now: Duration,
    speed: usize,
    is_playing: bool,
    shows_keys: bool,
}

/// Whether it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// It does.
    Go,
    /// The person leaves.
    Leave,
}

impl Player {
    /// Plays a scenario from its beginning, with the first of its strategies.
    ///
    /// # Errors
    ///
    /// What that did wrong.
    pub fn new(scenario: &Scenario) -> Result<Self, (Strategy, Broken)> {
        let strategies = scenario.strategies.clone();
        let film = film(&scenario.experiment, &strategies, 0)?;
        Ok(Self {
            title: scenario.title.clone(),
            experiment: scenario.experiment.clone(),
            strategies,
            chosen: 0,
            film,
            now: Duration::ZERO,
            speed: SPEED_FIRST,
            is_playing: true,
            shows_keys: false,
        })
    }

    /// Nothing moves until somebody wants it to.
    pub const fn pause(&mut self) {
        self.is_playing = false;
    }

    /// So much time has gone by at the screen.
    pub fn handle_time(&mut self, gone: Duration) {
        if self.is_playing {
            self.now = (self.now + gone * SPEEDS[self.speed] / 10).min(self.film.lasted);
            self.is_playing = self.now < self.film.lasted;
        }
    }

    /// Does what a key says.
    ///
    /// # Errors
    ///
    /// What the strategy that was asked for did wrong.
    pub fn handle_key(&mut self, key: KeyEvent) -> Result<Flow, (Strategy, Broken)> {
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        if self.shows_keys {
            self.shows_keys = false;
            return Ok(Flow::Go);
        }
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return Ok(Flow::Leave),
            KeyCode::Char('c' | 'd') if is_control => return Ok(Flow::Leave),
            KeyCode::Char(' ') if self.now >= self.film.lasted => {
                self.now = Duration::ZERO;
                self.is_playing = true;
            }
            KeyCode::Char(' ') => self.is_playing ^= true,
            KeyCode::Char('.') | KeyCode::Right => self.step_to(self.shown()),
            KeyCode::Char(',') | KeyCode::Left => {
                let before = self.film.rows.partition_point(|row| row.at < self.now);
                let last = before.checked_sub(1).map(|last| self.film.rows[last].at);
                self.go_to(last.unwrap_or_default());
            }
            KeyCode::Char('n') => {
                let next = self.film.again.iter().find(|row| **row >= self.shown());
                match next {
                    Some(next) => self.step_to(*next),
                    None => self.go_to(self.film.lasted),
                }
            }
            KeyCode::Char('+' | '=') => self.speed = (self.speed + 1).min(SPEEDS.len() - 1),
            KeyCode::Char('-') => self.speed = self.speed.saturating_sub(1),
            KeyCode::Home => self.go_to(Duration::ZERO),
            KeyCode::End => self.go_to(self.film.lasted),
            KeyCode::Char('s') => self.switch()?,
            KeyCode::Char('?') | KeyCode::F(1) => self.shows_keys = true,
            _ => {}
        }
        Ok(Flow::Go)
    }

    /// The next strategy, from the same moment on.
    fn switch(&mut self) -> Result<(), (Strategy, Broken)> {
        let next = (self.chosen + 1) % self.strategies.len();
        self.film = film(&self.experiment, &self.strategies, next)?;
        self.chosen = next;
        self.go_to(self.now.min(self.film.lasted));
        Ok(())
    }

    /// To the moment of a packet. Those that leave at one moment come together.
    fn step_to(&mut self, row: usize) {
        match self.film.rows.get(row) {
            Some(row) => self.go_to(row.at),
            None => self.go_to(self.film.lasted),
        }
    }

    fn go_to(&mut self, time: Duration) {
        self.now = time;
        self.is_playing = false;
    }

    // ---- what the view asks ----

    /// What the scenario is about.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Decides what is left to chance.
    pub const fn seed(&self) -> u64 {
        self.experiment.seed
    }

    /// The strategy that is played, its place, and how many there are.
    pub fn strategy(&self) -> (Strategy, usize, usize) {
        (self.strategies[self.chosen], self.chosen + 1, self.strategies.len())
    }

    /// What is played.
    pub const fn film(&self) -> &Film {
        &self.film
    }

    /// The moment that is shown.
    pub const fn now(&self) -> Duration {
        self.now
    }

    /// How fast it is played, in tenths of real time.
    pub const fn speed(&self) -> u32 {
        SPEEDS[self.speed]
    }

    /// Whether time goes on.
    pub const fn is_playing(&self) -> bool {
        self.is_playing
    }

    /// Whether the keys are explained.
    pub const fn shows_keys(&self) -> bool {
        self.shows_keys
    }

    /// How many packets have left.
    pub fn shown(&self) -> usize {
        self.film.rows.partition_point(|row| row.at <= self.now)
    }
}

fn film(
    experiment: &Experiment,
    strategies: &[Strategy],
    chosen: usize,
) -> Result<Film, (Strategy, Broken)> {
    let strategy = strategies[chosen];
    let run = strategy.run(experiment).map_err(|broken| (strategy, broken))?;
    Ok(Film::of(&run))
}
