//! A network of its own that consists of a loopback only: there the usual port is free, whatever
//! else runs on this machine.

use std::{
    ffi::OsString,
    io::{self, BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

/// A network namespace, held by a process that does nothing else. Dropping it ends that process;
/// the network goes with the last program in it.
#[derive(Debug)]
pub struct Loopback {
    holder: Child,
}

impl Loopback {
    /// Makes one. Whoever is not root becomes root of the namespace alone.
    ///
    /// # Errors
    ///
    /// If the system has no such namespaces or does not give us one.
    pub fn new() -> io::Result<Self> {
        let mut command = Command::new("unshare");
        command.arg("--net").args(user_arguments(&["--user", "--map-root-user"]));
        Self::hold(command)
    }

    /// Another one of the same owner: the two can be joined.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub fn beside(&self) -> io::Result<Self> {
        let mut command = self.command(Path::new("unshare"));
        command.arg("--net");
        Self::hold(command)
    }

    fn hold(mut command: Command) -> io::Result<Self> {
        // Reading a pipe that nobody writes to waits as long as we live.
        command.args(["--", "sh", "-c", "ip link set lo up && echo up && read end"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = command.spawn()?;
        let mut line = String::new();
        let stdout = holder.stdout.take().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut line)?;
        let loopback = Self { holder };
        if line == "up\n" { Ok(loopback) } else { Err(io::Error::other("no network of our own")) }
    }

    /// The command line that runs `program` in this network, as the process it starts as.
    pub fn wrap(&self, program: &Path) -> Vec<OsString> {
        let mut line =
            vec!["nsenter".into(), "--target".into(), self.holder.id().to_string().into()];
        line.push("--net".into());
        line.extend(user_arguments(&["--user", "--preserve-credentials"]).map(OsString::from));
        line.extend(["--".into(), program.into()]);
        line
    }

    /// A program of this network, not started yet.
    pub fn command(&self, program: &Path) -> Command {
        let line = self.wrap(program);
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]);
        command
    }

    /// The process that holds it.
    pub fn pid(&self) -> u32 {
        self.holder.id()
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        // Both fail only if it is gone already.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// What only somebody who is not root needs.
fn user_arguments(arguments: &'static [&'static str]) -> impl Iterator<Item = &'static str> {
    let is_root = rustix::process::geteuid().is_root();
    arguments.iter().copied().filter(move |_| !is_root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_taken_in_one_network_is_free_in_another() {
        let listens = "exec 3<>/dev/tcp/127.0.0.1/4545";
        let loopback = Loopback::new().unwrap();
        let output = loopback.command(Path::new("bash")).args(["-c", listens]).output().unwrap();
        assert!(!output.status.success(), "nobody listens in a new network");
        let refused = String::from_utf8_lossy(&output.stderr).contains("refused");
        assert!(refused, "its loopback is up: {output:?}");
    }
}
