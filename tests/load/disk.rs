//! How fast the disk itself is just now. A relay that syncs before it answers cannot be faster, and
//! a machine whose disk is busy with something else says nothing about the relay.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
    time::Duration,
};

use tokio::time::Instant;

use crate::stats::Latencies;

/// Bytes of each sync: a commit of a few hundred messages.
const BYTES: usize = 64 * 1024;
/// How many are timed.
const SYNCS: u32 = 50;
/// When to stop on a slow disk.
const TIME_MAX: Duration = Duration::from_secs(1);

/// Times appending and syncing, with nothing else of ours going on.
///
/// # Errors
///
/// If the directory cannot be written.
pub(crate) fn time_syncs(directory: &Path) -> io::Result<Latencies> {
    let path = directory.join("sync-probe");
    let mut file = File::create(&path)?;
    let bytes = vec![b'x'; BYTES];
    let mut latencies = Latencies::new();
    let begun = Instant::now();
    for _ in 0..SYNCS {
        let before = Instant::now();
        file.write_all(&bytes)?;
        file.sync_data()?;
        latencies.record(before.elapsed());
        if begun.elapsed() > TIME_MAX {
            break;
        }
    }
    std::fs::remove_file(&path)?;
    Ok(latencies)
}
