//! A client from the future at the real relay: what this relay does not know it skips, carries or
//! refuses by name, and the session goes on.

use std::borrow::Cow;

use harness::{
    client::{Client, ClientError},
    identity::Identity,
    process::{RelayOptions, RelayProcess, relay_binary},
};
use protocol::{
    entropy::Entropy,
    ids::{ConversationId, Seq},
    message::{
        ClientMessage, RelayMessage,
        event::Body,
        ext::Ext,
        record::{Class, Content, Envelope},
        refusal::RefusalCode,
        request::{Ban, Request, SetAccess},
        room::{Access, BanTarget},
        session::{Attach, Ping, Send},
    },
    time::WallTime,
};
use serde_bytes::ByteBuf;

use crate::single::{connect, message, runtime};

fn ext(tag: u16) -> Ext {
    Ext(vec![(tag, ByteBuf::from(vec![7; 40]))])
}

/// Answers after everything that was sent before: proof that the session lives.
async fn ping(client: &mut Client) {
    client.queue(&ClientMessage::Ping(Ping { token: 99 })).expect("live");
    client.flush().await.expect("live");
    let pong = client.wait_for(|message| match message {
        RelayMessage::Pong(Ping { token: 99 }) => Some(()),
        _ => None,
    });
    pong.await.expect("still live");
}

async fn refused(client: &mut Client, request: impl Into<Request>) -> RefusalCode {
    match client.request(request).await {
        Err(ClientError::Refused(refusal)) => refusal.code,
        other => panic!("not refused: {other:?}"),
    }
}

/// A message of a class and with a body that nobody knows yet.
fn later_message(identity: &Identity, room: ConversationId, counter: u64) -> Send<'static> {
    let send = message(identity, room, counter);
    let envelope = Envelope::decode(&send.envelope).expect("our own");
    let envelope = Envelope { class: Class(77), ext: ext(6), ..envelope };
    let body = Body::Unknown(4_711, vec![0xee; 100]);
    Send { envelope: Cow::Owned(envelope.encode()), body: Cow::Owned(body.encode()), ..send }
}

#[test]
fn a_client_from_the_future_gets_what_there_is() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let options = RelayOptions::new(relay_binary().expect("built"), directory.path());
    let relay = RelayProcess::start(&options).expect("starts");
    let ada = Identity::generate("ada", &mut Entropy::system());
    runtime().block_on(async {
        // What is not critical is skipped; what is, is refused by its number.
        let critical = Attach { ext: ext(3), ..ada.register() };
        let refusal = connect(relay.endpoint(), &ada).await.attach(critical).await;
        let Err(ClientError::Goodbye(refusal)) = refusal else { panic!("{refusal:?}") };
        assert_eq!(refusal.code, RefusalCode::UNSUPPORTED);
        assert!(refusal.detail.contains('3'), "{refusal}");
        let mut client = connect(relay.endpoint(), &ada).await;
        client.attach(Attach { ext: ext(2), ..ada.register() }).await.expect("registers");
        let room = client.join("lobby").await.expect("joins").id;

        client.queue(&ClientMessage::Unknown(63)).expect("live");
        ping(&mut client).await;
        for number in [23, 5_000, 60_000] {
            let code = refused(&mut client, Request::Unknown(number)).await;
            assert_eq!(code, RefusalCode::UNSUPPORTED, "request {number}");
        }
        let access = SetAccess { conversation: room, access: Access(99) };
        let target = BanTarget::Other(12, ByteBuf::from(vec![1]));
        let ban = Ban {
            conversation: room,
            target,
            until: WallTime::default(),
            reason: String::new(),
            dry_run: true,
        };
        // Which of two reasons comes first is the relay's business.
        let no = [RefusalCode::UNSUPPORTED, RefusalCode::NOT_ALLOWED];
        assert!(no.contains(&refused(&mut client, access).await));
        assert!(no.contains(&refused(&mut client, ban).await));

        // What it cannot read it keeps and serves as it came.
        client.follow_from_now(room).await.expect("a member");
        let sent = later_message(&ada, room, 1);
        client.queue(&ClientMessage::Send(sent.clone())).expect("live");
        client.flush().await.expect("live");
        let seq = wait_for_record(&mut client, &sent).await;
        assert!(seq > Seq::ZERO);
        ping(&mut client).await;
    });
}

/// The place at which the record with exactly these bytes came back.
async fn wait_for_record(client: &mut Client, sent: &Send<'_>) -> Seq {
    let found = client.wait_for(|message| {
        let RelayMessage::Records(records) = message else { return None };
        records.run.records().find_map(|item| {
            let (seq, record) = item.expect("records decode");
            let is_it = record.envelope == sent.envelope
                && record.content == Content::Body(Cow::Borrowed(&sent.body));
            is_it.then_some(seq)
        })
    });
    found.await.expect("the record comes")
}
