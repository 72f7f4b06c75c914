//! A program in a pseudo-terminal of a given size, driven by keys and watched on its screen.

use std::{
    fmt,
    io::{self, Read, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    keys,
    screen::{Screen, Size},
};

/// How long anything on the screen may take, on a slow machine too.
const WITHIN: Duration = Duration::from_secs(60);

/// A program in a terminal. Dropping it kills it.
pub struct Pty {
    child: Box<dyn Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
    keyboard: Keyboard,
    window: Arc<Window>,
    modes_before: String,
}

/// What goes to the program: keys, and the terminal's own answers.
type Keyboard = Arc<Mutex<Box<dyn Write + Send>>>;

/// What comes from the program.
#[derive(Debug)]
struct Window {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    screen: Screen,
    is_over: bool,
}

impl Pty {
    /// Starts a program in a terminal.
    ///
    /// # Errors
    ///
    /// If there is no terminal or no such program.
    pub fn start(command: CommandBuilder, size: Size) -> io::Result<Self> {
        let pair = native_pty_system().openpty(pty_size(size)).map_err(io::Error::other)?;
        // Before the program can change them.
        let modes_before = modes(pair.master.as_ref());
        let child = pair.slave.spawn_command(command).map_err(io::Error::other)?;
        // Ours would keep the terminal open when the program is gone.
        drop(pair.slave);
        let output = pair.master.try_clone_reader().map_err(io::Error::other)?;
        let writer = pair.master.take_writer().map_err(io::Error::other)?;
        let keyboard = Arc::new(Mutex::new(writer));
        let state = State { screen: Screen::new(size), is_over: false };
        let window = Arc::new(Window { state: Mutex::new(state), changed: Condvar::new() });
        let (shown, answers) = (Arc::clone(&window), Arc::clone(&keyboard));
        // Ends when the program has closed the terminal.
        thread::spawn(move || shown.watch(output, &answers));
        Ok(Self { child, master: pair.master, keyboard, window, modes_before })
    }

    /// Types, in the words of [`keys::bytes`].
    ///
    /// # Panics
    ///
    /// If the terminal is gone.
    #[track_caller]
    pub fn type_keys(&self, typed: &str) {
        let written = lock(&self.keyboard).write_all(&keys::bytes(typed));
        assert!(written.is_ok(), "the terminal is gone; its last screen:\n{}", self.screen());
    }

    /// Pastes, as terminals do it that tell a paste from keys.
    ///
    /// # Panics
    ///
    /// If the terminal is gone.
    #[track_caller]
    pub fn paste(&self, text: &str) {
        let pasted = [b"\x1b[200~", text.as_bytes(), b"\x1b[201~"].concat();
        let written = lock(&self.keyboard).write_all(&pasted);
        assert!(written.is_ok(), "the terminal is gone; its last screen:\n{}", self.screen());
    }

    /// Waits until these words stand in one row.
    ///
    /// # Panics
    ///
    /// With the screen, if they do not come in time.
    #[track_caller]
    pub fn wait_for(&self, words: &str) {
        self.wait_until(&format!("{words:?}"), |screen| screen.shows(words));
    }

    /// Waits until the screen is as described, between two frames.
    ///
    /// # Panics
    ///
    /// With the screen, if that does not come in time.
    #[track_caller]
    pub fn wait_until(&self, what: &str, mut is_so: impl FnMut(&Screen) -> bool) {
        let deadline = Instant::now() + WITHIN;
        let mut state = self.window.lock();
        while state.screen.is_in_frame() || !is_so(&state.screen) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!state.is_over, "the program ended before {what}; it left:\n{}", state.screen);
            assert!(!left.is_zero(), "waited in vain for {what} on this screen:\n{}", state.screen);
            state = wait(&self.window.changed, state, left);
        }
    }

    /// Writes over the screen, as another program on the same terminal does.
    pub fn damage(&self, output: &str) {
        self.window.lock().screen.feed(output.as_bytes());
        self.window.changed.notify_all();
    }

    /// The screen now, for a person.
    pub fn screen(&self) -> String {
        self.window.lock().screen.to_string()
    }

    /// Gives the window another size and tells the program.
    ///
    /// # Errors
    ///
    /// If the terminal is gone.
    pub fn resize(&self, size: Size) -> io::Result<()> {
        // The screen first: what the program paints next is meant for the new size.
        self.window.lock().screen.resize(size);
        self.master.resize(pty_size(size)).map_err(io::Error::other)
    }

    /// Whether the terminal treats keys and output as it did before the program.
    pub fn has_modes_as_before(&self) -> bool {
        modes(self.master.as_ref()) == self.modes_before
    }

    /// The program's process id.
    pub fn pid(&self) -> Option<u32> {
        self.child.process_id()
    }

    /// Waits until the program has ended by itself and everything it wrote is on the screen.
    ///
    /// # Panics
    ///
    /// With the screen, if it does not end in time or with success.
    #[track_caller]
    pub fn wait_for_end(&mut self) {
        let code = self.wait_for_exit();
        assert!(code == 0, "ended with {code}; it left:\n{}", self.screen());
    }

    /// The same, however it ends; its exit code.
    ///
    /// # Panics
    ///
    /// With the screen, if it does not end in time.
    #[track_caller]
    pub fn wait_for_exit(&mut self) -> u32 {
        let deadline = Instant::now() + WITHIN;
        let mut state = self.window.lock();
        while !state.is_over {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the program does not end; its screen:\n{}", state.screen);
            state = wait(&self.window.changed, state, left);
        }
        drop(state);
        self.child.wait().expect("it was started").exit_code()
    }

    /// Sends the program a signal.
    ///
    /// # Errors
    ///
    /// If it is gone.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = self.pid().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        Ok(kill_process(pid.ok_or(io::ErrorKind::NotFound)?, signal)?)
    }

    /// Whether the terminal's screen is as a shell expects it.
    pub fn is_restored(&self) -> bool {
        self.window.lock().screen.is_restored()
    }

    /// Ends the program at once (`SIGKILL`) and waits until it is gone.
    ///
    /// # Errors
    ///
    /// If the operating system does not let us.
    pub fn kill(&mut self) -> io::Result<()> {
        let pid = self.child.process_id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        if let Some(pid) = pid
            && self.child.try_wait()?.is_none()
        {
            kill_process(pid, Signal::KILL)?;
            self.child.wait()?;
        }
        Ok(())
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        // Fails only if it is gone already.
        let _ = self.kill();
    }
}

impl fmt::Debug for Pty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut pty = f.debug_struct("Pty");
        pty.field("child", &self.child).field("window", &self.window).finish_non_exhaustive()
    }
}

impl Window {
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn watch(&self, mut output: Box<dyn Read + Send>, answers: &Keyboard) {
        let mut buffer = [0; 16 * 1024];
        // A terminal whose program is gone ends with an error on Linux.
        while let Ok(read @ 1..) = output.read(&mut buffer) {
            let answer = self.lock().screen.feed(&buffer[..read]);
            self.changed.notify_all();
            // The keyboard may be busy with something long that the program reads while it writes.
            if !answer.is_empty() {
                // The program may be gone already.
                let _ = lock(answers).write_all(&answer);
            }
        }
        self.lock().is_over = true;
        self.changed.notify_all();
    }
}

fn wait<'a>(
    changed: &Condvar,
    state: MutexGuard<'a, State>,
    left: Duration,
) -> MutexGuard<'a, State> {
    changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
}

/// A test that failed with the lock held has printed why; the others go on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How a terminal treats keys and output, to be compared.
fn modes(terminal: &dyn MasterPty) -> String {
    format!("{:?}", terminal.get_termios())
}

const fn pty_size(size: Size) -> PtySize {
    PtySize { rows: size.rows, cols: size.columns, pixel_width: 0, pixel_height: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { columns: 40, rows: 5 };

    fn shell(script: &str) -> Pty {
        let mut command = CommandBuilder::new("sh");
        command.args(["-c", script]);
        Pty::start(command, SIZE).unwrap()
    }

    #[test]
    fn keys_reach_the_program_and_its_words_the_screen() {
        let mut pty = shell("read name; echo \"hello $name\"");
        pty.type_keys("ada<enter>");
        pty.wait_for("hello ada");
        pty.wait_for_end();
        assert!(pty.is_restored());
    }

    #[test]
    fn the_program_learns_the_size_of_its_window() {
        let mut pty =
            shell("trap 'stty size; exit' WINCH; stty size; while :; do sleep 0.01; done");
        pty.wait_for("5 40");
        pty.resize(Size { columns: 20, rows: 3 }).unwrap();
        pty.wait_for("3 20");
        pty.wait_for_end();
    }

    #[test]
    #[should_panic(expected = "the program ended before \"never\"; it left:\n│nothing")]
    fn a_wait_in_vain_shows_the_screen() {
        shell("echo nothing").wait_for("never");
    }
}
