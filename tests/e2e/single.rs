//! One lean client against one relay: what several tests do first.

use std::borrow::Cow;

use harness::{
    client::{Client, RelayEndpoint},
    identity::Identity,
};
use protocol::{
    entropy::Entropy,
    ids::{ConversationId, Counter, Seq},
    message::{
        event::{Body, Text},
        ext::Ext,
        record::{Class, ENVELOPE_VERSION, Envelope},
        session::Send,
    },
    time::WallTime,
};

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
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
