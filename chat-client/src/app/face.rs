//! What a person has of the model: the full screen with its keys, or lines. The loop in
//! [`run`](super::run) treats both alike; what one of them cannot do, it leaves.

use std::io;

use crossterm::event::{Event as TerminalEvent, KeyEventKind};
use tokio::sync::watch;

use super::{
    Abilities, App, Notification, Way, Wheel,
    event::{Data, Event, Focus},
    vi::Mode,
};
use crate::{
    linear::{Reader, Telling},
    report::Failure,
    terminal::{
        Cursor, Screen, abilities,
        input::{Heard, Input},
        lines::{Lines, Written},
    },
    ui,
    untrusted::Untrusted,
};

/// Most events that are taken before the next frame: with more, keys would seem to hang.
const BURST_MAX: usize = 256;

/// The way the model is seen and talked to.
pub(super) enum Face {
    /// The full screen.
    Screen {
        screen: Screen,
        /// Keys; `None` while another program has the terminal.
        input: Option<Input>,
    },
    /// Lines.
    Lines { lines: Lines, reader: Reader },
}

impl Face {
    /// Takes the terminal.
    pub(super) fn take(is_linear: bool) -> Result<Self, Failure> {
        if is_linear {
            let lines = Lines::open().map_err(|error| Failure::io("cannot read lines", error))?;
            return Ok(Self::Lines { lines, reader: Reader::default() });
        }
        let mut screen = Screen::take().map_err(|error| Failure::NoTerminal { error })?;
        let input = Some(screen.input());
        Ok(Self::Screen { screen, input })
    }

    /// What the terminal can do.
    pub(super) fn abilities(&self) -> Abilities {
        match self {
            Self::Screen { screen, .. } => screen.abilities(),
            Self::Lines { .. } => abilities::from_environment(|name| std::env::var(name).ok()),
        }
    }

    /// Most events to be taken between two looks at the model: of what is said once, nothing may
    /// be overtaken by what comes next.
    pub(super) const fn burst_max(&self) -> usize {
        match self {
            Self::Screen { .. } => BURST_MAX,
            Self::Lines { .. } => 1,
        }
    }

    /// What the person does next; `None` if they are gone. `under_way` counts what they have ordered
    /// and is not done yet.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub(super) async fn next(
        &mut self,
        app: &App,
        under_way: Option<watch::Receiver<usize>>,
    ) -> Option<io::Result<Event>> {
        match self {
            Self::Screen { input: Some(input), .. } => loop {
                match input.next().await? {
                    Ok(Heard::Background(background)) => {
                        return Some(Ok(Event::Background(background)));
                    }
                    Ok(Heard::Event(event)) => {
                        if let Some(event) = translate(event) {
                            return Some(Ok(event));
                        }
                    }
                    Err(error) => return Some(Err(error)),
                }
            },
            Self::Lines { lines, .. } => {
                if !app.takes_lines() {
                    return std::future::pending().await;
                }
                // Who answers what they read knows when to write; a script's next line may need
                // what the one before it does.
                if !lines.is_conversation() {
                    if !app.is_settled() {
                        return std::future::pending().await;
                    }
                    if let Some(mut under_way) = under_way {
                        // With the performer gone there is nothing to wait for.
                        let _ = under_way.wait_for(|count| *count == 0).await;
                    }
                    // What has happened by now is heard before the next line is read.
                    tokio::task::yield_now().await;
                }
                Some(match lines.next().await {
                    Some(Ok(Written::Line(line))) => Ok(Event::Line(line)),
                    Some(Ok(Written::Unfit(why))) => Ok(Event::Data(Data::Told(why.to_owned()))),
                    Some(Err(error)) => Err(error),
                    None => Ok(Event::End),
                })
            }
            Self::Screen { input: None, .. } => std::future::pending().await,
        }
    }

    /// Shows or tells the model; what comes of that.
    pub(super) fn show(&mut self, app: &App) -> io::Result<Vec<Event>> {
        match self {
            Self::Screen { input: None, .. } => Ok(Vec::new()),
            Self::Screen { screen, .. } => {
                screen.set_title(app.title())?;
                let is_calm = app.preferences.values.ui.reduced_motion;
                screen.set_cursor(match app.vi_mode() {
                    Some(Mode::Insert) => Cursor::SteadyBar,
                    Some(Mode::Normal) => Cursor::Steady,
                    None if is_calm => Cursor::Steady,
                    None => Cursor::Usual,
                })?;
                let mut drawn = Vec::new();
                screen.draw(|frame| drawn = ui::view(app, frame))?;
                Ok(drawn.into_iter().map(Event::Drawn).collect())
            }
            Self::Lines { lines, reader } => {
                let Telling { lines: told, events } = reader.tell(app);
                let prompt = app.current().map(|c| Untrusted::new(&c.summary.title()).for_line());
                lines.print(&told, &prompt.unwrap_or_default())?;
                Ok(events)
            }
        }
    }

    pub(super) fn notify(&mut self, way: Way, notification: &Notification) -> io::Result<()> {
        match self {
            Self::Screen { screen, .. } => screen.notify(way, notification),
            Self::Lines { .. } => Ok(()),
        }
    }

    pub(super) fn copy(&mut self, text: &str) -> io::Result<()> {
        match self {
            Self::Screen { screen, .. } => screen.copy(text),
            Self::Lines { .. } => Ok(()),
        }
    }

    pub(super) fn set_wheel(&mut self, wheel: Wheel) -> io::Result<()> {
        match self {
            Self::Screen { screen, .. } => screen.set_wheel(wheel),
            Self::Lines { .. } => Ok(()),
        }
    }

    /// Paints everything anew.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        match self {
            Self::Screen { screen, .. } => screen.clear(),
            Self::Lines { .. } => Ok(()),
        }
    }

    pub(super) fn suspend(&mut self) -> io::Result<()> {
        match self {
            Self::Screen { screen, .. } => screen.suspend(),
            // Nothing was taken that the shell would have to get back.
            Self::Lines { .. } => Ok(()),
        }
    }

    /// Gives the terminal to another program.
    pub(super) fn lend(&mut self) -> io::Result<()> {
        match self {
            Self::Screen { screen, input } => {
                *input = None;
                screen.lend()
            }
            Self::Lines { .. } => Ok(()),
        }
    }

    /// Has it again.
    pub(super) fn take_back(&mut self) -> io::Result<()> {
        match self {
            Self::Screen { screen, input } => {
                screen.take_back()?;
                *input = Some(screen.input());
                Ok(())
            }
            Self::Lines { .. } => Ok(()),
        }
    }
}

impl Drop for Face {
    fn drop(&mut self) {
        if let Self::Lines { lines, .. } = self {
            lines.close();
        }
    }
}

/// What a terminal event means to the model; releases of keys mean nothing.
fn translate(event: TerminalEvent) -> Option<Event> {
    Some(match event {
        TerminalEvent::Key(key) if key.kind == KeyEventKind::Release => return None,
        TerminalEvent::Key(key) => Event::Key(key),
        TerminalEvent::Mouse(mouse) => Event::Mouse(mouse),
        TerminalEvent::Paste(text) => Event::Paste(text),
        TerminalEvent::Resize(..) => Event::Resized,
        TerminalEvent::FocusGained => Event::Focus(Focus::Gained),
        TerminalEvent::FocusLost => Event::Focus(Focus::Lost),
    })
}
