//! Searches: names become accounts on the way in, and accounts names on the way out.

use super::{
    super::{
        PAGE_RECORDS_MAX,
        call::{Answer, CallError, Found, Target},
        disk::Read,
        view,
    },
    Owner,
    callers::{Reply, answer},
};
use crate::{
    search::Query,
    store::{
        StoreFailure,
        search::{Findings, Search, Senders},
    },
};

impl Owner {
    pub(super) fn search(&mut self, query: Query, count: usize, reply: Reply) {
        match self.resolved(query, count) {
            Ok(search) => self.read(Read::Search(Box::new(search)), reply),
            Err(error) => answer(reply, Err(error)),
        }
    }

    fn resolved(&self, query: Query, count: usize) -> Result<Search, CallError> {
        let not_found = |what: String| CallError::NotFound { what };
        let conversation = match query.within {
            Some(target) => {
                let found = self.known(&target).ok_or_else(|| not_found(target.to_string()))?;
                Some(found.id())
            }
            None => None,
        };
        let senders = match query.sender {
            Some(name) => {
                let accounts = self.engine.accounts_named(&name);
                if accounts.is_empty() {
                    return Err(not_found(Target::Person(name).to_string()));
                }
                Senders::Only(accounts)
            }
            None if query.is_from_others => Senders::Others,
            None => Senders::Anybody,
        };
        let device = self.engine.identity().device;
        let account = self.engine.sender(device).map(|info| info.account);
        Ok(Search {
            terms: query.terms,
            conversation,
            senders,
            after: query.after,
            before: query.before,
            count: count.min(PAGE_RECORDS_MAX),
            own: (device, account),
        })
    }

    pub(super) fn found(
        &self,
        findings: Result<Findings, StoreFailure>,
    ) -> Result<Answer, CallError> {
        let findings = findings.map_err(|failure| CallError::Store { why: failure.to_string() })?;
        let found = findings.hits.into_iter().map(|hit| Found {
            conversation: hit.conversation,
            line: view::line(&self.engine, hit.row),
            is_edited: hit.is_edited,
        });
        Ok(Answer::Found {
            found: found.collect(),
            back_to: findings.back_to,
            unindexed: findings.unindexed,
        })
    }
}
