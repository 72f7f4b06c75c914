//! Names for the people in stored records: the relay is asked once about whoever is not known here.

use std::collections::BTreeSet;

use protocol::{
    ids::{AccountId, ConversationId, DeviceId},
    limits::LIST_ITEMS_MAX,
    message::{
        event::Body,
        request::{Lookup, Reply, Request},
    },
};
use tokio::time::timeout;

use super::session::{PATIENCE, Session};
use crate::node::call::{Answer, Call, Line, Link, SaidView, members_from};

/// Most questions about members that one page raises: people who came, said nothing and left are
/// in no list any more.
const QUESTIONS_MAX: usize = 8;

/// Who was asked about already. Whoever the relay does not name stays somebody.
#[derive(Debug, Default)]
pub(super) struct Asked {
    devices: BTreeSet<DeviceId>,
    accounts: BTreeSet<AccountId>,
}

impl Asked {
    /// The devices that sent something and whose people are not known.
    fn senders(&mut self, lines: &[Line]) -> Vec<DeviceId> {
        let unnamed = lines.iter().filter(|line| line.sender.is_none());
        let devices = unnamed.filter_map(|line| line.id).map(|id| id.device);
        let strangers = devices.filter(|device| *device != DeviceId::RELAY);
        strangers.filter(|device| self.devices.insert(*device)).take(LIST_ITEMS_MAX).collect()
    }

    /// The people whom notices name by account only.
    fn mentioned(&mut self, lines: &[Line]) -> Vec<AccountId> {
        let mut unknown = Vec::new();
        for line in lines {
            let SaidView::Body(Body::Notice(notice)) = &line.said else { continue };
            for account in [notice.actor, notice.subject].into_iter().flatten() {
                let is_known = line.named.iter().any(|info| info.account == account);
                if !is_known && self.accounts.insert(account) {
                    unknown.push(account);
                }
            }
        }
        unknown
    }
}

impl Session {
    /// Lets the node learn who the people in these records are. True if it may know more of them
    /// now; false also if the relay is away.
    pub(super) async fn learn_names(&self, conversation: ConversationId, lines: &[Line]) -> bool {
        let (devices, mut accounts) = {
            let mut asked = self.asked.borrow_mut();
            (asked.senders(lines), asked.mentioned(lines))
        };
        if devices.is_empty() && accounts.is_empty() || !self.is_online().await {
            return false;
        }
        if !devices.is_empty() {
            self.ask_briefly(Lookup { devices }.into()).await;
        }
        for _ in 0..QUESTIONS_MAX {
            let Some(account) = accounts.pop() else { break };
            let request = members_from(conversation, account).into();
            if let Some(Reply::Members(members)) = self.ask_briefly(request).await {
                accounts.retain(|who| members.iter().all(|member| member.account.account != *who));
            }
        }
        true
    }

    async fn is_online(&self) -> bool {
        let status = self.status().await;
        status.is_ok_and(|status| matches!(status.link, Link::Syncing | Link::Online { .. }))
    }

    /// Without an answer they stay somebody: a name is never worth a failure.
    async fn ask_briefly(&self, request: Request) -> Option<Reply> {
        match timeout(PATIENCE, self.call(Call::Ask { request })).await {
            Ok(Ok(Answer::Reply { reply })) => Some(reply),
            Ok(Ok(_) | Err(_)) | Err(_) => None,
        }
    }
}
