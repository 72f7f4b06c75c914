//! Searching the local history: what is asked of a store, what it answers, and the judgement that
//! all stores share. An index only says where to look; whether a message is found is decided here,
//! from what edits and deletions have made of it.

use std::collections::BTreeMap;

use protocol::{
    ids::{AccountId, ConversationId, DeviceId, Seq},
    message::event::Body,
    time::WallTime,
};

use super::{
    StoreFailure,
    row::{HistoryRow, Said},
};
use crate::search::Term;

/// Most places that one search looks at. A search that finds less than it should by then says how
/// far back it got.
pub const EXAMINED_MAX: usize = 10_000;

/// What is searched for.
#[derive(Clone, Debug)]
pub struct Search {
    /// All of these are in the message.
    pub terms: Vec<Term>,
    /// It is in this conversation.
    pub conversation: Option<ConversationId>,
    /// Who wrote it.
    pub senders: Senders,
    /// It was said then or later.
    pub after: Option<WallTime>,
    /// It was said before then.
    pub before: Option<WallTime>,
    /// At most this many are wanted: the newest.
    pub count: usize,
    /// This device, and whose it is.
    pub own: (DeviceId, Option<AccountId>),
}

/// Whose messages count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Senders {
    /// Everybody's.
    Anybody,
    /// Those of these accounts.
    Only(Vec<AccountId>),
    /// Those of everybody but the own account.
    Others,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The messages, newest first.
    pub hits: Vec<Hit>,
    /// What was said before this was not looked at; everything was, if absent.
    pub back_to: Option<WallTime>,
    /// Records that are not in the index yet.
    pub unindexed: u64,
}

/// A message that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Where it is.
    pub conversation: ConversationId,
    /// It, with its newest words.
    pub row: HistoryRow,
    /// Its words are not the first ones.
    pub is_edited: bool,
}

/// What judging needs to read.
pub(super) trait Library {
    /// One record.
    fn record(
        &self,
        conversation: ConversationId,
        seq: Seq,
    ) -> Result<Option<HistoryRow>, StoreFailure>;

    /// What acts on it, oldest first.
    fn amends(
        &self,
        conversation: ConversationId,
        seq: Seq,
    ) -> Result<Vec<HistoryRow>, StoreFailure>;

    /// Whose a device is, if known.
    fn account(&self, device: DeviceId) -> Result<Option<AccountId>, StoreFailure>;
}

/// Judges messages, and remembers whose devices are whose meanwhile.
pub(super) struct Judge<'a, L> {
    search: &'a Search,
    library: &'a L,
    accounts: BTreeMap<DeviceId, Option<AccountId>>,
}

impl<'a, L: Library> Judge<'a, L> {
    pub(super) fn new(search: &'a Search, library: &'a L) -> Self {
        Self { search, library, accounts: BTreeMap::from([search.own]) }
    }

    /// The message at a place, if it is what is searched for.
    pub(super) fn judge(
        &mut self,
        conversation: ConversationId,
        seq: Seq,
    ) -> Result<Option<Hit>, StoreFailure> {
        let Some(row) = self.library.record(conversation, seq)? else { return Ok(None) };
        let Said::Body(Body::Text(_) | Body::Action(_)) = &row.said else { return Ok(None) };
        let is_late = self.search.before.is_some_and(|before| row.time >= before);
        let is_early = self.search.after.is_some_and(|after| row.time < after);
        let Some(device) = row.envelope.as_ref().map(|envelope| envelope.device) else {
            return Ok(None);
        };
        if is_late || is_early || !self.is_wanted(device)? {
            return Ok(None);
        }
        let (row, is_edited) = self.amended(conversation, row, device)?;
        let found = words(&row)
            .is_some_and(|words| self.search.terms.iter().all(|term| term.matches(words)));
        Ok(found.then_some(Hit { conversation, row, is_edited }))
    }

    fn is_wanted(&mut self, device: DeviceId) -> Result<bool, StoreFailure> {
        Ok(match &self.search.senders {
            Senders::Anybody => true,
            Senders::Only(accounts) => {
                self.account(device)?.is_some_and(|account| accounts.contains(&account))
            }
            Senders::Others => {
                let (own_device, own) = self.search.own;
                device != own_device && (own.is_none() || self.account(device)? != own)
            }
        })
    }

    /// A record with its newest words; erased if it was deleted. An edit counts only from the
    /// author; the relay has checked who may delete.
    fn amended(
        &mut self,
        conversation: ConversationId,
        mut row: HistoryRow,
        author: DeviceId,
    ) -> Result<(HistoryRow, bool), StoreFailure> {
        let id = row.envelope.as_ref().map(protocol::message::record::Envelope::id);
        let mut is_edited = false;
        for amend in self.library.amends(conversation, row.seq)? {
            let Some(envelope) = amend.envelope else { continue };
            if envelope.target.map(|target| target.id) != id {
                continue;
            }
            match amend.said {
                Said::Body(Body::Edit(new)) => {
                    let is_author = envelope.device == author || {
                        let account = self.account(author)?;
                        account.is_some() && account == self.account(envelope.device)?
                    };
                    if let Said::Body(Body::Text(text) | Body::Action(text)) = &mut row.said
                        && is_author
                    {
                        text.text = new.text;
                        is_edited = true;
                    }
                }
                Said::Body(Body::Delete(_)) => row.said = Said::Erased,
                Said::Body(_) | Said::Erased | Said::Unreadable => {}
            }
        }
        Ok((row, is_edited))
    }

    fn account(&mut self, device: DeviceId) -> Result<Option<AccountId>, StoreFailure> {
        if let Some(known) = self.accounts.get(&device) {
            return Ok(*known);
        }
        let account = self.library.account(device)?;
        self.accounts.insert(device, account);
        Ok(account)
    }
}

/// The words of a message or of an edit: what an index holds.
pub(super) fn words(row: &HistoryRow) -> Option<&str> {
    match &row.said {
        Said::Body(Body::Text(text) | Body::Action(text) | Body::Edit(text)) => Some(&text.text),
        Said::Body(Body::Delete(_) | Body::Reaction(..) | Body::Notice(_) | Body::Unknown(..))
        | Said::Erased
        | Said::Unreadable => None,
    }
}
