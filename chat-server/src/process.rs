//! What the program asks of the operating system for itself, before anything else happens.

use rustix::{
    fs::Mode,
    io,
    process::{DumpableBehavior, Resource, Rlimit, getrlimit, setrlimit, umask},
};

/// Files are for their owner only, and no core dump shows keys. Other processes of the same user
/// cannot look into this one either.
///
/// # Errors
///
/// If the operating system refuses: then nothing secret may be loaded.
pub fn protect_secrets() -> io::Result<()> {
    umask(Mode::from_bits_truncate(0o077));
    let none = Rlimit { current: Some(0), maximum: getrlimit(Resource::Core).maximum };
    setrlimit(Resource::Core, none)?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
}

/// Allows as many open files as the administrator of this machine does, and says how many. A
/// connection is a file.
///
/// # Errors
///
/// If the operating system refuses.
pub fn allow_many_files() -> io::Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    Ok(limit.maximum.unwrap_or(u64::MAX))
}
