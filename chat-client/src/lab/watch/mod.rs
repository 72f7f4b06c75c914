//! A player for experiments: a run in virtual time, watched packet by packet.
//!
//! ```text
//!   keys, time ─▶ model::Player ─▶ view        film     a run as rows and curves
//!                                              explain  why a packet left, in sentences
//! ```
//!
//! [`model`], [`film`], [`explain`] and [`view`] are pure; [`run`] has the terminal.

pub mod explain;
pub mod film;
#[cfg(test)]
pub(crate) mod fixture;
pub mod model;
#[cfg(test)]
mod tests;
pub mod view;

use std::{io, time::Duration};

use crossterm::event::{Event, KeyEventKind};
use protocol::lab::scenario::Scenario;
use tokio::time::{Instant, sleep};

use self::model::{Flow, Player};
use crate::{
    app::{Background, Look},
    report::Failure,
    settings::Preferences,
    terminal::{
        Screen,
        input::{Heard, Input},
    },
};

/// Between two frames while time goes on.
const FRAME_INTERVAL: Duration = Duration::from_millis(33);

/// Plays a scenario until the person leaves.
///
/// # Errors
///
/// If there is no terminal, or a strategy did what none may.
pub async fn run(scenario: &Scenario, preferences: &Preferences) -> Result<(), Failure> {
    let broken = |(strategy, why)| Failure::Usage(format!("{strategy}: {why}"));
    let mut player = Player::new(scenario).map_err(broken)?;
    if preferences.values.ui.reduced_motion {
        player.pause();
    }
    let mut screen = Screen::take().map_err(|error| Failure::NoTerminal { error })?;
    let mut input = screen.input();
    let mut abilities = screen.abilities();
    let failed = |error| Failure::io("cannot use the terminal", error);
    let mut drawn_at = Instant::now();
    loop {
        let now = Instant::now();
        player.handle_time(now - drawn_at);
        drawn_at = now;
        let look = Look::of(&preferences.values.ui, abilities);
        screen.draw(|frame| view::view(&player, look, frame)).map_err(failed)?;
        match next(&mut input, player.is_playing()).await.map_err(failed)? {
            Happening::Key(key) => {
                // What it stops has gone on until now.
                player.handle_time(drawn_at.elapsed());
                drawn_at = Instant::now();
                if player.handle_key(key).map_err(broken)? == Flow::Leave {
                    return Ok(());
                }
            }
            Happening::Background(background) => abilities.background = Some(background),
            Happening::Frame => {}
            Happening::Gone => return Ok(()),
        }
        if !player.is_playing() {
            drawn_at = Instant::now();
        }
    }
}

enum Happening {
    Key(crossterm::event::KeyEvent),
    Background(Background),
    /// Time goes on, or the window has another size.
    Frame,
    /// The terminal has gone.
    Gone,
}

async fn next(input: &mut Input, is_playing: bool) -> io::Result<Happening> {
    tokio::select! {
        heard = input.next() => Ok(match heard {
            None => Happening::Gone,
            Some(Err(error)) => return Err(error),
            Some(Ok(Heard::Background(background))) => Happening::Background(background),
            Some(Ok(Heard::Event(Event::Key(key)))) if key.kind != KeyEventKind::Release => {
                Happening::Key(key)
            }
            Some(Ok(Heard::Event(_))) => Happening::Frame,
        }),
        () = sleep(FRAME_INTERVAL), if is_playing => Ok(Happening::Frame),
    }
}
