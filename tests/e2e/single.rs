//! One lean client against one relay: what several tests do first.

use std::{borrow::Cow, collections::BTreeSet, time::Duration};

use harness::{
    client::{Client, RelayEndpoint},
    identity::Identity,
};
use protocol::{
    entropy::Entropy,
    ids::{ConversationId, Counter, Seq},
    message::{
        ClientMessage, RelayMessage,
        event::{Body, Text},
        ext::Ext,
        record::{Class, ENVELOPE_VERSION, Envelope},
        session::{Follow, Send},
    },
    time::WallTime,
};

/// What a relay has to do within, on a slow machine too.
pub(crate) const WITHIN: Duration = Duration::from_secs(40);

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Reads a conversation's records from the beginning, up to `head`; the places that came.
pub(crate) async fn read_from_start(
    client: &mut Client,
    conversation: ConversationId,
    head: Seq,
) -> BTreeSet<Seq> {
    let follow = Follow { conversation, after: Seq::ZERO, chain: [0; 8], newest: 100_000 };
    client.queue(&ClientMessage::Follow(follow)).expect("live");
    client.flush().await.expect("live");
    let mut places = BTreeSet::new();
    while !places.contains(&head) {
        let read = client.receive(|message| {
            if let Ok(RelayMessage::Records(records)) = RelayMessage::decode(message) {
                places.extend(records.run.records().flatten().map(|(seq, _)| seq));
            }
        });
        tokio::time::timeout(WITHIN, read).await.expect("records in time").expect("live");
    }
    places
}

pub(crate) async fn connect(relay: RelayEndpoint, identity: &Identity) -> Client {
    let source = harness::client::source_address(1);
    Client::connect(relay, &identity.channel_key, source, &mut Entropy::system())
        .await
        .expect("connects")
}

pub(crate) fn message(
    identity: &Identity,
    conversation: ConversationId,
    counter: u64,
) -> Send<'static> {
    let envelope = Envelope {
        version: ENVELOPE_VERSION,
        device: identity.device(),
        counter: Counter(counter),
        class: Class::CONTENT,
        target: None,
        epoch: 0,
        seen: (Seq::ZERO, [0; 8]),
        ext: Ext::none(),
    };
    let text = Text {
        text: format!("message {counter}"),
        composed_at: WallTime::default(),
        reply_to: None,
        ext: Ext::none(),
    };
    Send {
        conversation,
        floor: Counter(counter),
        envelope: Cow::Owned(envelope.encode()),
        signature: Cow::Borrowed(&[]),
        body: Cow::Owned(Body::Text(text).encode()),
    }
}
