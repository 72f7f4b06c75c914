//! The person's own editor on what is being written. The text goes into a file that only they can
//! read, and comes back when the editor has ended well; meanwhile the client goes on without the
//! terminal.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
};

use crate::external;

/// An editor that the environment names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Editor {
    program: String,
    arguments: Vec<String>,
}

/// Why a text did not come back.
#[derive(Debug, thiserror::Error)]
pub enum EditorError {
    /// The environment names none.
    #[error("no editor is set: the environment's VISUAL or EDITOR names one")]
    NotSet,
    /// It cannot be started.
    #[error("{program}: {source}")]
    NotStarted {
        /// Which.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It ended badly, which is how a person takes it all back.
    #[error("{program} ended with {status}: nothing is changed")]
    Ended {
        /// Which.
        program: String,
        /// How.
        status: ExitStatus,
    },
    /// Its file cannot be made or read.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// More came back than can be taken. It is kept.
    #[error("{bytes} bytes do not fit, the box takes {bytes_max}: they are kept in {path}")]
    TooLarge {
        /// How much.
        bytes: usize,
        /// How much fits.
        bytes_max: usize,
        /// Where it is.
        path: PathBuf,
    },
}

impl Editor {
    /// The one that `$VISUAL`, or else `$EDITOR` names.
    ///
    /// # Errors
    ///
    /// If neither does.
    pub fn of_environment() -> Result<Self, EditorError> {
        let mut named =
            ["VISUAL", "EDITOR"].into_iter().filter_map(|name| std::env::var(name).ok());
        named.find_map(|command| Self::parse(&command)).ok_or(EditorError::NotSet)
    }

    fn parse(command: &str) -> Option<Self> {
        let mut words = command.split_whitespace().map(str::to_owned);
        Some(Self { program: words.next()?, arguments: words.collect() })
    }

    /// Lets the person edit a text. It has the terminal until it ends.
    ///
    /// # Errors
    ///
    /// If nothing comes back.
    pub async fn edit(
        self,
        text: String,
        folder: PathBuf,
        bytes_max: usize,
    ) -> Result<String, EditorError> {
        let path = folder.join(format!("message-{}.txt", std::process::id()));
        let file_error = |source| EditorError::File { path: path.clone(), source };
        write(&path, &text).map_err(file_error)?;
        let mut command = Command::new(&self.program);
        command.args(self.arguments).arg(&path);
        let outcome = match external::finished(command).await {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(EditorError::Ended { program: self.program, status }),
            Err(source) => Err(EditorError::NotStarted { program: self.program, source }),
        };
        if let Err(error) = outcome {
            remove(&path);
            return Err(error);
        }
        let edited = fs::read_to_string(&path).map_err(file_error)?;
        // Editors end the last line, and a message has no last line to end.
        let edited = edited.strip_suffix('\n').unwrap_or(&edited);
        if edited.len() > bytes_max {
            return Err(EditorError::TooLarge { bytes: edited.len(), bytes_max, path });
        }
        remove(&path);
        Ok(edited.to_owned())
    }
}

/// Makes the file anew: one that is there was left by a process of the same number.
fn write(path: &Path, text: &str) -> io::Result<()> {
    remove(path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    if text.is_empty() { Ok(()) } else { file.write_all(b"\n") }
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "a text that was edited is left behind");
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::Permissions, os::unix::fs::PermissionsExt as _};

    use super::*;

    /// An editor that is a script; `$1` is the file.
    fn editor(folder: &Path, script: &str) -> Editor {
        let path = folder.join("editor");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a folder of ours");
        fs::set_permissions(&path, Permissions::from_mode(0o700)).expect("a file of ours");
        Editor::parse(path.to_str().expect("a plain path")).expect("a program")
    }

    async fn edit(script: &str, text: &str) -> (Result<String, EditorError>, usize) {
        let temp = tempfile::tempdir().expect("a folder");
        let editor = editor(temp.path(), script);
        let edited = editor.edit(text.to_owned(), temp.path().to_owned(), 10).await;
        let left = fs::read_dir(temp.path()).expect("a folder of ours").count() - 1;
        (edited, left)
    }

    #[tokio::test]
    async fn a_text_goes_there_and_back_and_leaves_no_file() {
        let script =
            r#"[ "$(stat -c %a "$1")" = 600 ] && tr a-z A-Z < "$1" > "$1.x" && mv "$1.x" "$1""#;
        let (edited, left) = edit(script, "hi\nyou").await;
        assert_eq!((edited.expect("edited").as_str(), left), ("HI\nYOU", 0));
    }

    #[tokio::test]
    async fn an_editor_that_ends_badly_changes_nothing() {
        let (edited, left) = edit("echo changed > \"$1\"; exit 3", "hi").await;
        assert!(matches!(edited, Err(EditorError::Ended { .. })), "{edited:?}");
        assert_eq!(left, 0);
    }

    #[tokio::test]
    async fn what_does_not_fit_is_kept() {
        let (edited, left) = edit("printf 12345678901 > \"$1\"", "").await;
        assert!(matches!(edited, Err(EditorError::TooLarge { bytes: 11, .. })), "{edited:?}");
        assert_eq!(left, 1);
        let (edited, _) = edit("printf 1234567890 > \"$1\"", "").await;
        assert_eq!(edited.expect("it fits"), "1234567890");
    }

    #[tokio::test]
    async fn an_editor_that_is_not_there_says_so() {
        let temp = tempfile::tempdir().expect("a folder");
        let editor = Editor::parse("/nowhere/editor --wait").expect("a program");
        let edited = editor.edit(String::new(), temp.path().to_owned(), 10).await;
        assert!(matches!(edited, Err(EditorError::NotStarted { .. })), "{edited:?}");
        assert_eq!(Editor::parse("  "), None);
    }
}
