//! The terminal. While the full-screen client has it: taken with one call, given back on every way
//! out: return, error, panic, signal, suspension.

pub mod abilities;
mod clipboard;
pub mod input;
pub mod lines;
mod notification;
mod passthrough;
pub mod probe;

use std::{
    fmt,
    io::{self, IsTerminal as _},
    panic,
    sync::Once,
};

use crossterm::{
    Command,
    cursor::{SetCursorStyle, Show},
    event::{
        DisableBracketedPaste, DisableFocusChange, EnableBracketedPaste, EnableFocusChange,
        KeyboardEnhancementFlags, PopKeyboardEnhancementFlags, PushKeyboardEnhancementFlags,
    },
    execute,
    style::Print,
    terminal::{
        BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
        SetTitle, disable_raw_mode, enable_raw_mode,
    },
};
use ratatui::{
    Frame, Terminal,
    backend::{Backend as _, CrosstermBackend},
};
use rustix::process::{Signal, kill_current_process_group};
use tokio::signal::unix::{Signal as SignalStream, SignalKind, signal};

use self::{input::Input, probe::Answers};
use crate::{
    app::{Abilities, Notification, Way, Wheel},
    report::Failure,
};

/// The screen, as long as this lives. Dropping it gives the terminal back.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<io::Stdout>>,
    wheel: Wheel,
    abilities: Abilities,
    /// What it answered, until somebody reads its input.
    answers: Option<Answers>,
    title: Option<String>,
    cursor: Cursor,
}

/// What the cursor looks like, and whether it may blink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cursor {
    /// As the person has set it up.
    Usual,
    /// It does not.
    Steady,
    /// It does not, and stands between characters.
    SteadyBar,
}

impl Screen {
    /// Takes the terminal: raw, alternate screen, pastes and focus told apart from keys.
    ///
    /// A terminal that does not know a mode ignores it. What it is asked is asked before anything
    /// else reads its input.
    ///
    /// # Errors
    ///
    /// If standard output is no terminal.
    pub fn take() -> io::Result<Self> {
        give_back_on_panic();
        enter()?;
        // From here on `Drop` gives back, also if what follows fails.
        let terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
        let mut abilities = abilities::from_environment(|name| std::env::var(name).ok());
        let may_ask = abilities.may_be_asked && io::stdin().is_terminal();
        let answers = if may_ask { Some(probe::ask()?) } else { None };
        let background = answers.as_ref().and_then(|answers| answers.background);
        abilities.background = background.or(abilities.background);
        let mut screen = Self {
            terminal,
            wheel: Wheel::IsTerminals,
            abilities,
            answers,
            title: None,
            cursor: Cursor::Usual,
        };
        screen.clear()?;
        Ok(screen)
    }

    /// What the terminal can do.
    pub const fn abilities(&self) -> Abilities {
        self.abilities
    }

    /// Begins to read what comes from it.
    pub fn input(&mut self) -> Input {
        Input::new(self.answers.take())
    }

    /// Sets the window's title; without one, the window keeps what it has.
    ///
    /// # Errors
    ///
    /// If the terminal has gone.
    pub fn set_title(&mut self, title: Option<String>) -> io::Result<()> {
        if title == self.title {
            return Ok(());
        }
        self.title = title;
        match &self.title {
            Some(title) => execute!(io::stdout(), SetTitle(title)),
            None => Ok(()),
        }
    }

    /// Lets the cursor blink or not.
    ///
    /// # Errors
    ///
    /// If the terminal has gone.
    pub fn set_cursor(&mut self, cursor: Cursor) -> io::Result<()> {
        if cursor == self.cursor {
            return Ok(());
        }
        self.cursor = cursor;
        execute!(
            io::stdout(),
            match cursor {
                Cursor::Usual => SetCursorStyle::DefaultUserShape,
                Cursor::Steady => SetCursorStyle::SteadyBlock,
                Cursor::SteadyBar => SetCursorStyle::SteadyBar,
            }
        )
    }

    /// Draws one frame, shown at once by terminals that can.
    ///
    /// # Errors
    ///
    /// If the terminal has gone.
    pub fn draw(&mut self, render: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        execute!(io::stdout(), BeginSynchronizedUpdate)?;
        self.terminal.draw(render)?;
        execute!(io::stdout(), EndSynchronizedUpdate)
    }

    /// Forgets what is on the screen, so that the next frame is painted whole.
    ///
    /// # Errors
    ///
    /// If the terminal has gone.
    pub fn clear(&mut self) -> io::Result<()> {
        // The terminal's own `clear` asks where the cursor is, and whoever reads the keys would take
        // the answer. This forgets the last frame as well.
        self.terminal.backend_mut().clear()?;
        self.terminal.swap_buffers();
        Ok(())
    }

    /// Notifies the person.
    ///
    /// # Errors
    ///
    /// If the terminal has gone.
    pub fn notify(&mut self, way: Way, notification: &Notification) -> io::Result<()> {
        let sequence = notification::sequence(notification, way, self.abilities.multiplexer);
        execute!(io::stdout(), Print(sequence))
    }

    /// Gives a text to the terminal's clipboard.
    ///
    /// # Errors
    ///
    /// If the terminal has gone.
    pub fn copy(&mut self, text: &str) -> io::Result<()> {
        let sequence = clipboard::sequence(text, self.abilities.multiplexer);
        execute!(io::stdout(), Print(sequence))
    }

    /// Takes the wheel, or leaves the whole mouse to the terminal.
    ///
    /// # Errors
    ///
    /// If the terminal has gone.
    pub fn set_wheel(&mut self, wheel: Wheel) -> io::Result<()> {
        self.wheel = wheel;
        execute!(io::stdout(), Mouse(wheel))
    }

    /// Gives the terminal back and stops as a job of the shell; goes on when the shell says so.
    ///
    /// # Errors
    ///
    /// If the terminal cannot be taken again.
    pub fn suspend(&mut self) -> io::Result<()> {
        self.lend()?;
        // The whole job, as the terminal itself would: whoever started us stops too (`cargo run`).
        kill_current_process_group(Signal::TSTP)?;
        self.take_back()
    }

    /// Gives the terminal to another program. Nothing may be drawn until [`Self::take_back`].
    ///
    /// # Errors
    ///
    /// If the terminal has gone.
    pub fn lend(&mut self) -> io::Result<()> {
        leave()
    }

    /// Has the terminal again.
    ///
    /// # Errors
    ///
    /// If the terminal has gone.
    pub fn take_back(&mut self) -> io::Result<()> {
        enter()?;
        self.set_wheel(self.wheel)?;
        // The next frame sets both again.
        self.title = None;
        self.cursor = Cursor::Usual;
        self.clear()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Nothing can be done about a terminal that has gone.
        let _ = leave();
    }
}

/// The signals that end the client in an orderly way, drafts saved and terminal given back.
pub struct EndSignals {
    terminate: SignalStream,
    hang_up: SignalStream,
    interrupt: SignalStream,
}

impl EndSignals {
    /// Catches them from now on.
    ///
    /// # Errors
    ///
    /// If the system refuses.
    pub fn catch() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for one of them, and says how the client ends by it.
    ///
    /// # Cancel safety
    ///
    /// None is lost.
    pub async fn next(&mut self) -> Failure {
        tokio::select! {
            _ = self.terminate.recv() => Failure::Terminated,
            _ = self.hang_up.recv() => Failure::Terminated,
            _ = self.interrupt.recv() => Failure::Interrupted,
        }
    }
}

fn enter() -> io::Result<()> {
    enable_raw_mode()?;
    execute!(
        io::stdout(),
        EnterAlternateScreen,
        EnableBracketedPaste,
        EnableFocusChange,
        Title::Push,
        // Tells Shift-Enter from Enter and a lone Esc from the beginning of a sequence.
        PushKeyboardEnhancementFlags(KeyboardEnhancementFlags::DISAMBIGUATE_ESCAPE_CODES),
    )
}

fn leave() -> io::Result<()> {
    let told = execute!(
        io::stdout(),
        PopKeyboardEnhancementFlags,
        Mouse(Wheel::IsTerminals),
        DisableFocusChange,
        DisableBracketedPaste,
        SetCursorStyle::DefaultUserShape,
        Title::Pop,
        LeaveAlternateScreen,
        Show,
    );
    disable_raw_mode().and(told)
}

/// Asks the terminal for buttons and wheel in the extended encoding (DEC modes 1000 and 1006), and
/// not for movements: nothing here follows the pointer. Without it, terminals turn the wheel into
/// arrow keys on the alternate screen, and those mean something else here.
struct Mouse(Wheel);

impl Command for Mouse {
    fn write_ansi(&self, f: &mut impl fmt::Write) -> fmt::Result {
        f.write_str(match self.0 {
            Wheel::Scrolls => "\x1b[?1000h\x1b[?1006h",
            Wheel::IsTerminals => "\x1b[?1006l\x1b[?1000l",
        })
    }
}

/// The window's title is put on the terminal's stack while it is ours (`XTWINOPS` 22 and 23).
enum Title {
    Push,
    Pop,
}

impl Command for Title {
    fn write_ansi(&self, f: &mut impl fmt::Write) -> fmt::Result {
        f.write_str(match self {
            Self::Push => "\x1b[22;0t",
            Self::Pop => "\x1b[23;0t",
        })
    }
}

/// A panic message on the alternate screen would vanish with it.
fn give_back_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let _ = leave();
            report(info);
        }));
    });
}
