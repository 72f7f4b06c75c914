//! Programs that the client starts for the person: what opens links, and their
//! [editor](crate::editor). Each gets its arguments one by one; there is no shell that could read a
//! foreign text as a command.

use std::{
    io,
    process::{Command, ExitStatus, Stdio},
    thread,
};

use tokio::sync::oneshot;

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

    #[test]
    fn the_first_browser_of_the_list_is_meant() {
        let words = |browser| browser_words(browser).collect::<Vec<_>>();
        assert_eq!(words("firefox --new-tab %s:lynx"), ["firefox", "--new-tab"]);
        assert_eq!(words(""), Vec::<&str>::new());
    }
}
