//! What a process asked of the kernel, from `strace`: in which order, and what of it would survive
//! a power cut.
//!
//! `SIGKILL` proves nothing about durability, since the kernel keeps the page cache. Here the files
//! are rebuilt from the traced writes, and a file counts only up to its last completed sync.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// System calls that matter: what changes files, what makes them durable, what sockets carry.
const CALLS: &str = "pwrite64,write,writev,ftruncate,fsync,fdatasync,unlink,unlinkat,rename,renameat,renameat2,\
                     read,readv,recvfrom,sendto,sendmsg,recvmsg";
/// After a process was killed strace still writes down what it had seen; once nothing comes for
/// this long, that was all.
const QUIET_FOR: Duration = Duration::from_secs(1);
/// Longer than any single write of a relay in a test.
const STRING_BYTES_MAX: usize = 8 << 20;

/// A script that runs `program` under strace, with the program as the script's own process: its
/// id, signals and output are the program's.
///
/// # Errors
///
/// If the script cannot be written.
pub fn wrapper(program: &Path, directory: &Path) -> io::Result<(PathBuf, TraceFiles)> {
    let prefix = directory.join("trace");
    let script = directory.join("traced");
    let text = format!(
        "#!/bin/sh\nexec strace -D -ff -ttt -T -y -xx -s {STRING_BYTES_MAX} -e trace={CALLS} \
         -e signal=none -o '{}' -- '{}' \"$@\"\n",
        prefix.display(),
        program.display(),
    );
    let mut file = fs::File::create(&script)?;
    file.write_all(text.as_bytes())?;
    file.set_permissions(fs::Permissions::from_mode(0o700))?;
    Ok((script, TraceFiles { directory: directory.to_owned() }))
}

/// Where strace writes, a file per thread.
#[derive(Clone, Debug)]
pub struct TraceFiles {
    directory: PathBuf,
}

/// One finished system call on a file or socket.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Seconds since 1970 when it began.
    pub begun: f64,
    /// Seconds since 1970 when it returned.
    pub ended: f64,
    /// Its name.
    pub name: String,
    /// What its descriptor stands for: a path, or `socket:[…]`.
    pub on: String,
    /// The arguments behind the descriptor, as strace prints them.
    pub arguments: String,
    /// What it returned; negative is an error.
    pub returned: i64,
}

impl TraceFiles {
    /// Every call that returned, in the order in which they returned. For a process that has
    /// ended.
    ///
    /// # Errors
    ///
    /// If there is no trace.
    pub fn calls(&self) -> io::Result<Vec<Call>> {
        let mut texts = self.texts()?;
        let mut quiet_since = Instant::now();
        while quiet_since.elapsed() < QUIET_FOR {
            thread::sleep(Duration::from_millis(20));
            let now = self.texts()?;
            if now != texts {
                (texts, quiet_since) = (now, Instant::now());
            }
        }
        let lines = texts.iter().flat_map(|text| text.lines());
        let mut calls: Vec<_> = lines.filter_map(parse).collect();
        calls.sort_by(|a, b| a.ended.total_cmp(&b.ended));
        Ok(calls)
    }

    fn texts(&self) -> io::Result<Vec<String>> {
        let mut texts = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let path = entry?.path();
            let is_trace = path
                .file_name()
                .is_some_and(|name| name.to_string_lossy().strip_prefix("trace.").is_some());
            if is_trace {
                texts.push(fs::read_to_string(&path)?);
            }
        }
        Ok(texts)
    }
}

/// Parses `1700000000.000001 pwrite64(12</path>, "\x00", 1, 0) = 1 <0.000020>`.
fn parse(line: &str) -> Option<Call> {
    let (begun, rest) = line.split_once(' ')?;
    let begun: f64 = begun.parse().ok()?;
    let (name, rest) = rest.trim_start().split_once('(')?;
    let (rest, took) = rest.strip_suffix('>')?.rsplit_once(" <")?;
    let (call, returned) = rest.rsplit_once(") = ")?;
    let returned = returned.split([' ', '<']).next()?.parse().ok()?;
    let (on, arguments) = match call.split_once('<') {
        // A descriptor: `12</path>, …`.
        Some((digits, tail)) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            let (on, arguments) = tail.split_once('>')?;
            // `-xx` spells paths in hex, too.
            let on =
                if on.starts_with("\\x") { unhex(on).display().to_string() } else { on.into() };
            (on, arguments.trim_start_matches(", ").to_owned())
        }
        // A path: `unlink("/path")`.
        Some(_) | None => (String::new(), call.to_owned()),
    };
    let took: f64 = took.parse().ok()?;
    Some(Call { begun, ended: begun + took, name: name.to_owned(), on, arguments, returned })
}

impl Call {
    /// True for a call that makes what was written to its file durable.
    pub fn is_sync(&self) -> bool {
        matches!(self.name.as_str(), "fsync" | "fdatasync") && self.returned == 0
    }

    /// True for bytes that came from a socket.
    pub fn is_socket_read(&self) -> bool {
        self.on.starts_with("socket:")
            && matches!(self.name.as_str(), "read" | "readv" | "recvfrom" | "recvmsg")
            && self.returned > 0
    }

    /// True for bytes that went into a socket.
    pub fn is_socket_write(&self) -> bool {
        self.on.starts_with("socket:")
            && matches!(self.name.as_str(), "write" | "writev" | "sendto" | "sendmsg")
            && self.returned > 0
    }

    /// True for bytes that went into a pipe: what a program reports.
    pub fn is_pipe_write(&self) -> bool {
        self.on.starts_with("pipe:") && self.name == "write" && self.returned > 0
    }

    /// True for a change of this file's bytes.
    pub fn is_file_write(&self) -> bool {
        self.on.starts_with('/')
            && matches!(self.name.as_str(), "write" | "pwrite64" | "ftruncate")
            && self.returned >= 0
    }

    /// The bytes of its string argument.
    pub fn bytes(&self) -> Vec<u8> {
        let quoted = self.arguments.split('"').nth(1).unwrap_or_default();
        quoted.split("\\x").filter_map(|hex| u8::from_str_radix(hex, 16).ok()).collect()
    }

    fn last_number(&self) -> Option<usize> {
        self.arguments.rsplit([',', ' ']).next()?.trim().parse().ok()
    }
}

/// A file as written, and as of its last completed sync.
#[derive(Debug, Default)]
struct Rebuilt {
    written: Vec<u8>,
    durable: Option<Vec<u8>>,
}

/// Rebuilds in `to` what of `data_dir` would be there after a power cut at the end of the trace.
///
/// # Errors
///
/// If `to` cannot be written.
pub fn after_power_cut(calls: &[Call], data_dir: &Path, to: &Path) -> io::Result<()> {
    let mut files: BTreeMap<PathBuf, Rebuilt> = BTreeMap::new();
    for call in calls {
        let path = Path::new(&call.on);
        if call.returned < 0 {
            continue;
        }
        if call.name.starts_with("rename") {
            // A rename moves both views: the file system's own journal keeps their order.
            let decoded: Vec<PathBuf> =
                call.arguments.split('"').skip(1).step_by(2).map(unhex).collect();
            if let [from, to] = decoded.as_slice()
                && let Some(file) = files.remove(from)
            {
                files.insert(to.clone(), file);
            }
            continue;
        }
        if call.name.starts_with("unlink") {
            if let Some(quoted) = call.arguments.split('"').nth(1) {
                files.remove(&unhex(quoted));
            }
            continue;
        }
        // A file in memory only by design: SQLite rebuilds it.
        if !path.starts_with(data_dir) || call.on.ends_with("-shm") {
            continue;
        }
        if call.is_file_write() {
            apply(files.entry(path.to_owned()).or_default(), call);
        } else if call.is_sync()
            && let Some(file) = files.get_mut(path)
        {
            // Directories are synced, too, and hold nothing that is rebuilt here.
            file.durable = Some(file.written.clone());
        }
    }
    for (path, file) in files {
        let (Some(durable), Ok(name)) = (file.durable, path.strip_prefix(data_dir)) else {
            continue;
        };
        let target = to.join(name);
        // The programs keep what is theirs to themselves, and refuse keys that others can read.
        let directory = target.parent().unwrap_or(to);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.open(target)?.write_all(&durable)?;
    }
    Ok(())
}

fn apply(file: &mut Rebuilt, call: &Call) {
    let at = match call.name.as_str() {
        "pwrite64" => call.last_number().unwrap_or(0),
        "ftruncate" => {
            file.written.resize(call.last_number().unwrap_or(0), 0);
            return;
        }
        _ => file.written.len(),
    };
    let bytes = call.bytes();
    let written = usize::try_from(call.returned).unwrap_or(0).min(bytes.len());
    let end = at + written;
    if file.written.len() < end {
        file.written.resize(end, 0);
    }
    file.written[at..end].copy_from_slice(&bytes[..written]);
}

/// A path as `-xx` prints it.
fn unhex(quoted: &str) -> PathBuf {
    let bytes = quoted.split("\\x").filter_map(|hex| u8::from_str_radix(hex, 16).ok()).collect();
    PathBuf::from(String::from_utf8(bytes).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = r#"1.000010 pwrite64(12</d/j>, "\x61\x62", 2, 1) = 2 <0.000010>
1.000030 fdatasync(12</d/j>) = 0 <0.000100>
1.000200 sendto(9<socket:[7]>, "\x01", 1, MSG_NOSIGNAL, NULL, 0) = 1 <0.000010>
1.000300 pwrite64(12</d/j>, "\x63", 1, 0) = 1 <0.000010>
1.000400 read(9<socket:[7]>, 0x7f, 5) = -1 EAGAIN (Resource temporarily unavailable) <0.000001>"#;

    #[test]
    fn only_synced_bytes_survive() {
        let calls: Vec<_> = LINES.lines().filter_map(parse).collect();
        assert_eq!(calls.len(), 5);
        let to = tempfile::tempdir().unwrap();
        after_power_cut(&calls, Path::new("/d"), to.path()).unwrap();
        let rebuilt = to.path().join("j");
        assert_eq!(fs::read(&rebuilt).unwrap(), b"\0ab");
        assert_eq!(fs::metadata(&rebuilt).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_path_in_hex_is_a_path() {
        let call = parse(r"1.0 fsync(3<\x2f\x64>) = 0 <0.1>").unwrap();
        assert_eq!(call.on, "/d");
    }

    #[test]
    fn calls_know_what_they_are() {
        let calls: Vec<_> = LINES.lines().filter_map(parse).collect();
        assert!(calls[1].is_sync() && calls[1].ended > calls[1].begun);
        assert!(calls[2].is_socket_write());
        assert!(!calls[4].is_socket_read(), "nothing was read");
    }
}
