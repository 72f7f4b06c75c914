//! Programs that the client starts for the person: what opens links, and their
//! [editor](crate::editor). Each gets its arguments one by one; there is no shell that could read a
//! foreign text as a command.

use std::{
    io::{self, Write as _},
    process::{Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use tokio::sync::{Semaphore, oneshot};

/// Most hooks that run at one time.
const HOOKS_MAX: usize = 4;
static HOOK_SLOTS: Semaphore = Semaphore::const_new(HOOKS_MAX);
/// Longest time that a hook may take.
const HOOK_TIME_MAX: Duration = Duration::from_secs(10);
/// Between two looks whether it has ended.
const HOOK_LOOK: Duration = Duration::from_millis(20);

/// What opens a link where `$BROWSER` names nothing.
const OPENER: &str = "xdg-open";

/// Opens a link with `$BROWSER`, or as the desktop does.
///
/// # Errors
///
/// What to tell the person.
pub async fn open_link(link: String) -> Result<(), String> {
    let browser = std::env::var("BROWSER").unwrap_or_default();
    let mut words = browser_words(&browser);
    let program = words.next().unwrap_or(OPENER);
    let mut command = Command::new(program);
    // What it has to say would land in the middle of the screen.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.args(words).arg(&link);
    match finished(command).await {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{program} ended with {status}")),
        Err(error) => Err(format!("{program}: {error}")),
    }
}

/// Runs the words of a command with `input` on its standard input, and ends it if it takes too long.
/// With many running already, this one is left out.
///
/// # Errors
///
/// What to tell the person.
pub async fn run_hook(words: Vec<String>, input: String) -> Result<(), String> {
    let Ok(_slot) = HOOK_SLOTS.try_acquire() else { return Ok(()) };
    let program = words.first().cloned().unwrap_or_default();
    let (tell, told) = oneshot::channel();
    let deed = move || drop(tell.send(run_to_end(&words, input.as_bytes(), HOOK_TIME_MAX)));
    let thread = thread::Builder::new().name("hook".to_owned()).spawn(deed);
    let outcome = match thread {
        Ok(_) => told.await.unwrap_or_else(|_| Err(io::Error::other("nobody waited for it"))),
        Err(error) => Err(error),
    };
    match outcome {
        Ok(Some(status)) if status.success() => Ok(()),
        Ok(Some(status)) => Err(format!("{program} ended with {status}")),
        Ok(None) => Err(format!("{program} ran for {} s and was ended", HOOK_TIME_MAX.as_secs())),
        Err(error) => Err(format!("{program}: {error}")),
    }
}

/// How a command ended; `None` if it had to be killed.
fn run_to_end(words: &[String], input: &[u8], most: Duration) -> io::Result<Option<ExitStatus>> {
    let Some((program, arguments)) = words.split_first() else {
        return Err(io::Error::other("no program is named"));
    };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // Shorter than a pipe: this does not wait. A program need not read it.
        let _ = stdin.write_all(input);
    }
    let until = Instant::now() + most;
    while Instant::now() < until {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        thread::sleep(HOOK_LOOK);
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

/// Runs a program to its end. A thread of its own waits for it: leaving the client does not.
pub(crate) async fn finished(mut command: Command) -> io::Result<ExitStatus> {
    let (tell, told) = oneshot::channel();
    thread::Builder::new().name("external".to_owned()).spawn(move || {
        // Nobody listens any more: the client has ended.
        let _ = tell.send(command.status());
    })?;
    told.await.unwrap_or_else(|_| Err(io::Error::other("nobody waited for it")))
}

/// The first program of the list that `$BROWSER` is, and its arguments.
fn browser_words(browser: &str) -> impl Iterator<Item = &str> {
    browser.split(':').next().unwrap_or_default().split_whitespace().filter(|word| *word != "%s")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &[&str]) -> Vec<String> {
        line.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn a_hook_gets_its_input_and_no_shell_reads_its_words() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("got");
        let line = ["dd", "status=none", &format!("of={}", file.display())];
        let status = run_to_end(&words(&line), b"{\"v\":1}", HOOK_TIME_MAX).unwrap();
        assert!(status.is_some_and(|status| status.success()));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "{\"v\":1}");
    }

    #[test]
    fn a_hook_that_does_not_end_is_ended() {
        let status = run_to_end(&words(&["sleep", "600"]), b"", Duration::from_millis(1)).unwrap();
        assert_eq!(status, None);
        assert!(run_to_end(&words(&["/nowhere/hook"]), b"", HOOK_TIME_MAX).is_err());
    }

    #[test]
    fn the_first_browser_of_the_list_is_meant() {
        let words = |browser| browser_words(browser).collect::<Vec<_>>();
        assert_eq!(words("firefox --new-tab %s:lynx"), ["firefox", "--new-tab"]);
        assert_eq!(words(""), Vec::<&str>::new());
    }
}
