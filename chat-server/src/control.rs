//! The control socket: how the operator's commands reach a running relay.
//!
//! It stands in the data directory, which only the relay's user can enter, and asks the kernel who
//! connects as well. Requests and answers are text: see [`crate::operator`].

use std::{
    fs, io,
    io::{Read as _, Write as _},
    os::unix::net::{UnixListener as StdUnixListener, UnixStream as StdUnixStream},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixListener, UnixStream},
    time::timeout,
};
use tracing::warn;

use crate::operator::OperatorRequest;

/// Its name in the data directory.
pub const CONTROL_SOCKET: &str = "control.sock";
/// Longest request: a verb and a path.
const REQUEST_BYTES_MAX: u64 = 8 << 10;
/// How long a request may take to arrive. It is typed by a program.
const REQUEST_TIME: Duration = Duration::from_secs(5);

/// What became of a request.
pub type Answer = Result<String, String>;

/// Why a running relay could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// No relay serves this data directory.
    #[error("no relay runs on {}", .0.display())]
    NotRunning(PathBuf),
    /// The conversation with it failed.
    #[error("cannot talk to the running relay")]
    Io(#[from] io::Error),
    /// It said no.
    #[error("{0}")]
    Refused(String),
}

/// The bound socket; nobody is answered yet.
#[derive(Debug)]
pub(crate) struct ControlSocket {
    listener: StdUnixListener,
    path: SocketPath,
}

impl ControlSocket {
    /// Binds in `data_dir`, which must be this process's alone.
    pub(crate) fn bind(data_dir: &Path) -> io::Result<Self> {
        let path = data_dir.join(CONTROL_SOCKET);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let listener = StdUnixListener::bind(&path)?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, path: SocketPath(path) })
    }

    /// Listens on the caller's runtime.
    pub(crate) fn listen(self) -> io::Result<ControlListener> {
        let listener = UnixListener::from_std(self.listener)?;
        Ok(ControlListener { listener, _path: self.path })
    }
}

/// The socket's name, removed with it.
#[derive(Debug)]
struct SocketPath(PathBuf);

impl Drop for SocketPath {
    fn drop(&mut self) {
        // A relay that starts next removes it too.
        let _ = fs::remove_file(&self.0);
    }
}

/// The socket of a serving relay.
#[derive(Debug)]
pub(crate) struct ControlListener {
    listener: UnixListener,
    _path: SocketPath,
}

impl ControlListener {
    /// The next request, from this user or root.
    ///
    /// # Cancel safety
    ///
    /// A connection whose request has not arrived is closed.
    pub(crate) async fn next(&self) -> (OperatorRequest, Asker) {
        loop {
            match self.accept().await {
                Ok(asked) => return asked,
                Err(error) => warn!(%error, "control connection"),
            }
        }
    }

    async fn accept(&self) -> io::Result<(OperatorRequest, Asker)> {
        let (mut stream, _) = self.listener.accept().await?;
        let uid = stream.peer_cred()?.uid();
        if uid != rustix::process::geteuid().as_raw() && uid != 0 {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("user {uid}")));
        }
        let mut line = String::new();
        let mut limited = (&mut stream).take(REQUEST_BYTES_MAX);
        timeout(REQUEST_TIME, limited.read_to_string(&mut line))
            .await
            .map_err(|_| io::ErrorKind::TimedOut)??;
        let mut asker = Asker(stream);
        match line.trim_end().parse() {
            Ok(request) => Ok((request, asker)),
            Err(error) => {
                let error: crate::operator::UnknownRequest = error;
                asker.write(&Err(error.to_string())).await?;
                Err(io::Error::new(io::ErrorKind::InvalidData, error))
            }
        }
    }
}

/// Whoever waits for an answer.
#[derive(Debug)]
pub(crate) struct Asker(UnixStream);

impl Asker {
    /// Answers and hangs up.
    pub(crate) async fn answer(mut self, answer: Answer) {
        if let Err(error) = self.write(&answer).await {
            warn!(%error, "operator went away before the answer");
        }
    }

    async fn write(&mut self, answer: &Answer) -> io::Result<()> {
        let text = match answer {
            Ok(lines) => format!("ok\n{lines}"),
            Err(reason) => format!("error {reason}\n"),
        };
        self.0.write_all(text.as_bytes()).await?;
        self.0.shutdown().await
    }
}

/// Asks the relay that serves `data_dir`.
///
/// # Errors
///
/// [`ControlError::NotRunning`] if there is none: do it without.
pub fn ask(data_dir: &Path, request: &OperatorRequest) -> Result<String, ControlError> {
    let not_running = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            ControlError::NotRunning(data_dir.to_owned())
        }
        _ => ControlError::Io(error),
    };
    let mut stream = StdUnixStream::connect(data_dir.join(CONTROL_SOCKET)).map_err(not_running)?;
    stream.write_all(format!("{request}\n").as_bytes())?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (verdict, lines) = text.split_once('\n').unwrap_or((&text, ""));
    match verdict.strip_prefix("error ") {
        Some(reason) => Err(ControlError::Refused(reason.to_owned())),
        None if verdict == "ok" => Ok(lines.to_owned()),
        None => Err(ControlError::Io(io::ErrorKind::UnexpectedEof.into())),
    }
}
