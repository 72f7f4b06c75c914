//! The terminal while the full-screen client has it: taken with one call, given back on every way
//! out: return, error, panic, signal, suspension.

use std::{io, panic, sync::Once};

use crossterm::{
    cursor::Show,
    event::{
        DisableBracketedPaste, DisableFocusChange, EnableBracketedPaste, EnableFocusChange,
        EventStream, KeyboardEnhancementFlags, PopKeyboardEnhancementFlags,
        PushKeyboardEnhancementFlags,
    },
    execute,
    terminal::{
        BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
        disable_raw_mode, enable_raw_mode,
    },
};
use ratatui::{Frame, Terminal, backend::CrosstermBackend};
use rustix::process::{Signal, getpid, kill_process};
use tokio::signal::unix::{Signal as SignalStream, SignalKind, signal};

/// The screen, as long as this lives. Dropping it gives the terminal back.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<io::Stdout>>,
}

impl Screen {
    /// Takes the terminal: raw, alternate screen, pastes and focus told apart from keys.
    ///
    /// Nothing is asked of the terminal: a terminal that does not know a mode ignores it, and no
    /// answer has to be waited for.
    ///
    /// # Errors
    ///
    /// If standard output is no terminal.
    pub fn take() -> io::Result<Self> {
        give_back_on_panic();
        enter()?;
        // From here on `Drop` gives back, also if what follows fails.
        let mut screen = Self { terminal: Terminal::new(CrosstermBackend::new(io::stdout()))? };
        screen.terminal.clear()?;
        Ok(screen)
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
        self.terminal.clear()
    }

    /// Rings the bell. Terminals and tmux make of it what the person told them to.
    ///
    /// # Errors
    ///
    /// If the terminal has gone.
    pub fn ring(&mut self) -> io::Result<()> {
        execute!(io::stdout(), crossterm::style::Print('\u{7}'))
    }

    /// Gives the terminal back and stops as a job of the shell; goes on when the shell says so.
    ///
    /// # Errors
    ///
    /// If the terminal cannot be taken again.
    pub fn suspend(&mut self) -> io::Result<()> {
        leave()?;
        kill_process(getpid(), Signal::TSTP)?;
        enter()?;
        self.terminal.clear()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Nothing can be done about a terminal that has gone.
        let _ = leave();
    }
}

/// Keys, pastes, sizes and focus, as they come.
pub fn events() -> EventStream {
    EventStream::new()
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

    /// Waits for one of them.
    ///
    /// # Cancel safety
    ///
    /// None is lost.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
            _ = self.interrupt.recv() => {}
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
        // Tells Shift-Enter from Enter and a lone Esc from the beginning of a sequence.
        PushKeyboardEnhancementFlags(KeyboardEnhancementFlags::DISAMBIGUATE_ESCAPE_CODES),
    )
}

fn leave() -> io::Result<()> {
    let told = execute!(
        io::stdout(),
        PopKeyboardEnhancementFlags,
        DisableFocusChange,
        DisableBracketedPaste,
        LeaveAlternateScreen,
        Show,
    );
    disable_raw_mode().and(told)
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
