//! Composes messages of one device, as a client's outbox would.

use std::borrow::Cow;

use harness::client::{Client, ClientError};
use protocol::{
    ids::{ConversationId, Counter, DeviceId, Seq},
    message::{
        ClientMessage, RelayMessage,
        ext::Ext,
        record::{Class, ENVELOPE_VERSION, Envelope},
        session::{Accepted, Send},
    },
};

use crate::payload::Stamp;

/// Numbers a device's messages and knows which of them are settled.
#[derive(Debug)]
pub(crate) struct Author {
    device: DeviceId,
    // Of the newest message; they are numbered without gaps.
    newest: Counter,
    // Of the newest message the relay has accepted.
    accepted: Counter,
}

impl Author {
    /// An author who has not said anything yet.
    pub(crate) const fn new(device: DeviceId) -> Self {
        Self { device, newest: Counter(0), accepted: Counter(0) }
    }

    /// An author whose messages up to this counter are settled: one from an earlier session.
    pub(crate) const fn resumed(device: DeviceId, highest: Counter) -> Self {
        Self { device, newest: highest, accepted: highest }
    }

    /// How many messages are not accepted yet.
    pub(crate) const fn in_flight(&self) -> u64 {
        self.newest.0 - self.accepted.0
    }

    /// Queues a message.
    ///
    /// # Errors
    ///
    /// If the connection is over.
    pub(crate) fn say(
        &mut self,
        client: &mut Client,
        conversation: ConversationId,
        stamp: Stamp,
    ) -> Result<(), ClientError> {
        self.newest = self.newest.next();
        let envelope = Envelope {
            version: ENVELOPE_VERSION,
            device: self.device,
            counter: self.newest,
            class: Class::CONTENT,
            target: None,
            epoch: 0,
            seen: (Seq::ZERO, [0; 8]),
            ext: Ext::none(),
        };
        client.queue(&ClientMessage::Send(Send {
            conversation,
            floor: self.accepted.next(),
            envelope: Cow::Owned(envelope.encode()),
            signature: Cow::Borrowed(&[]),
            body: Cow::Owned(stamp.to_body()),
        }))
    }

    /// Takes an acknowledgement; says whether it is for the oldest message that has none, as it
    /// must be.
    #[must_use]
    pub(crate) fn handle_accepted(&mut self, accepted: &Accepted) -> bool {
        let in_order = accepted.counter == self.accepted.next() && accepted.counter <= self.newest;
        self.accepted = self.accepted.max(accepted.counter);
        in_order
    }
}

/// Reads once and hands over the acknowledgements that came.
///
/// # Errors
///
/// If the connection fails, or the relay rejected something or ended the session.
pub(crate) async fn receive_accepted(
    client: &mut Client,
    mut on_accepted: impl FnMut(&Accepted),
) -> Result<(), ClientError> {
    let mut failure = None;
    client
        .receive(|bytes| match understand(bytes) {
            Ok(RelayMessage::Accepted(accepted)) => on_accepted(&accepted),
            Ok(_) => {}
            Err(error) => failure = Some(error),
        })
        .await?;
    failure.map_or(Ok(()), Err)
}

/// Decodes a message of the relay; one that says no is an error, for no load here deserves it.
///
/// # Errors
///
/// If the relay rejected something, ended the session, or sent something else than a message.
pub(crate) fn understand(bytes: &[u8]) -> Result<RelayMessage<'_>, ClientError> {
    match RelayMessage::decode(bytes)? {
        RelayMessage::Rejected(rejected) => Err(ClientError::Refused(rejected.refusal)),
        RelayMessage::Goodbye(goodbye) => Err(ClientError::Goodbye(goodbye.refusal)),
        message => Ok(message),
    }
}

#[cfg(test)]
mod tests {
    use protocol::time::WallTime;

    use super::*;

    fn accepted(counter: u64) -> Accepted {
        Accepted {
            conversation: ConversationId([1; 16]),
            counter: Counter(counter),
            seq: Seq(1),
            time: WallTime::default(),
        }
    }

    #[test]
    fn acknowledgements_must_come_once_and_in_order() {
        let mut author = Author { newest: Counter(4), ..Author::new(DeviceId([7; 16])) };
        assert!(author.handle_accepted(&accepted(1)));
        assert!(!author.handle_accepted(&accepted(1)), "doubled");
        assert!(!author.handle_accepted(&accepted(3)), "one is missing");
        assert!(author.handle_accepted(&accepted(4)));
        assert!(!author.handle_accepted(&accepted(5)), "never sent");
    }
}
