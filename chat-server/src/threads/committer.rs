//! The committer: the only thread that waits for the disk on somebody's behalf.
//!
//! One commit is under way at a time; meanwhile the hub fills the next. The committer ends when it
//! is told to.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::{error, warn};

use crate::{
    store::{Commit, CommitError, Store},
    threads::{
        hub::{HubInbox, HubMail},
        indexer::IndexerSignal,
        mailbox::Mailbox,
    },
};

/// A store that could not be read again is tried again after this.
const RELOAD_RETRY: Duration = Duration::from_secs(1);

/// Work for the committer. The hub has at most one commit or reload under way.
#[derive(Debug)]
pub(crate) enum CommitterMail {
    /// Make this durable.
    Commit(Commit),
    /// Read the state again, after a failed commit.
    Reload,
    /// End.
    Stop,
}

/// Commits until it is told to stop, then closes the store.
pub(crate) fn run(
    mut store: Box<dyn Store>,
    mailbox: &Mailbox<CommitterMail>,
    hub: &HubInbox,
    indexer: &Arc<IndexerSignal>,
) {
    let mut mail = Vec::new();
    let mut reload_at = None;
    loop {
        mailbox.take(&mut mail, reload_at);
        for item in mail.drain(..) {
            match item {
                CommitterMail::Commit(commit) => {
                    let outcome = store.commit(&commit);
                    match &outcome {
                        Ok(()) => indexer.on_committed(),
                        Err(CommitError::Full(reason)) => {
                            warn!(commit = commit.number, reason, "store takes no writes");
                        }
                        Err(CommitError::Ambiguous(reason)) => {
                            error!(commit = commit.number, reason, "outcome of commit unknown");
                        }
                    }
                    hub.post(HubMail::Committed(outcome));
                }
                CommitterMail::Reload => reload_at = Some(Instant::now()),
                CommitterMail::Stop => return,
            }
        }
        if reload_at.is_some_and(|at| at <= Instant::now()) {
            reload_at = match store.load() {
                Ok(loaded) => {
                    hub.post(HubMail::Reloaded(Box::new(loaded)));
                    None
                }
                Err(error) => {
                    error!(%error, "cannot read the store again; nobody is answered until then");
                    Some(Instant::now() + RELOAD_RETRY)
                }
            };
        }
    }
}
