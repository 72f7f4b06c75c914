//! A blocking client, as small as the protocol allows.

pub(crate) mod datagrams;
pub(crate) mod relay;
pub(crate) mod stream;

use std::{collections::VecDeque, io, sync::Arc, time::Duration};

use protocol::{
    channel::keys::{SigningKey, StaticKey},
    entropy::Entropy,
    ids::{ConversationId, Counter, DeviceId, Seq},
    message::{
        ClientMessage, MessageReader, RelayMessage,
        account::GenesisLink,
        ext::Ext,
        record::{Class, Content, ENVELOPE_VERSION, Envelope, Run},
        request::{Join, Reply, Request},
        session::{Accepted, Attach, Follow, Register, Send},
    },
    time::WallTime,
};
use serde_bytes::ByteBuf;

/// How long an answer may take before a test fails. Far more than any takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A device's keys and the account it founds.
pub(crate) struct Identity {
    channel_key: Arc<StaticKey>,
    signing_key: SigningKey,
    genesis: Vec<u8>,
    name: String,
}

impl Identity {
    pub(crate) fn new(name: &str) -> Self {
        let mut entropy = Entropy::system();
        let channel_key = Arc::new(StaticKey::generate(&mut entropy));
        let signing_key = SigningKey::generate(&mut entropy);
        let genesis = GenesisLink {
            version: 1,
            signing_key: signing_key.public(),
            channel_key: *channel_key.public(),
            sealing_key: *StaticKey::generate(&mut entropy).public(),
            created_at: WallTime::default(),
            nonce: entropy.bytes(),
            ext: Ext::none(),
        };
        Self { channel_key, signing_key, genesis: genesis.encode(), name: name.to_owned() }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn device(&self) -> DeviceId {
        self.signing_key.device_id()
    }

    #[expect(clippy::unused_self, reason = "beside `register`, which needs it")]
    pub(crate) fn attach(&self) -> Attach {
        Attach { register: None, client: "test".to_owned(), ext: Ext::none() }
    }

    pub(crate) fn register(&self) -> Attach {
        let signature = self.signing_key.sign(&GenesisLink::signed_bytes(&self.genesis));
        let register = Register {
            name: self.name.clone(),
            genesis: ByteBuf::from(self.genesis.clone()),
            signature: ByteBuf::from(signature.to_vec()),
            ticket: ByteBuf::new(),
        };
        Attach { register: Some(register), ..self.attach() }
    }
}

/// How a client is connected.
pub(crate) trait Link {
    /// Sends a run of messages, each with its length.
    fn send(&mut self, content: &[u8]) -> io::Result<()>;

    /// Waits, and appends what has arrived, likewise.
    fn receive(&mut self, content: &mut Vec<u8>) -> io::Result<()>;
}

/// One connection.
pub(crate) struct Client<L> {
    pub(crate) link: L,
    messages: VecDeque<Vec<u8>>,
}

impl<L: Link> Client<L> {
    /// A client whose handshake is complete.
    pub(crate) const fn new(link: L) -> Self {
        Self { link, messages: VecDeque::new() }
    }

    /// Attaches; returns when the welcome is there.
    pub(crate) fn attached(mut self, attach: Attach) -> Self {
        self.send(&ClientMessage::Attach(attach)).unwrap();
        self.wait(|message| matches!(message, RelayMessage::Welcome(_)).then_some(()));
        self
    }

    pub(crate) fn send(&mut self, message: &ClientMessage<'_>) -> io::Result<()> {
        let mut content = Vec::new();
        message.append_to(&mut content);
        self.link.send(&content)
    }

    /// Waits for the message that `pick` likes; others are dropped.
    pub(crate) fn wait<T>(&mut self, mut pick: impl FnMut(RelayMessage<'_>) -> Option<T>) -> T {
        loop {
            while let Some(message) = self.messages.pop_front() {
                let message = RelayMessage::decode(&message).unwrap();
                if let RelayMessage::Goodbye(goodbye) = &message {
                    panic!("goodbye: {}", goodbye.refusal);
                }
                if let Some(picked) = pick(message) {
                    return picked;
                }
            }
            self.receive().expect("the relay answers");
        }
    }

    pub(crate) fn join(&mut self, room: &str) -> ConversationId {
        let request = Request::Join(Join { room: room.to_owned() });
        self.send(&ClientMessage::Request(1, request)).unwrap();
        self.wait(|message| match message {
            RelayMessage::Reply(1, outcome) => match outcome.unwrap() {
                Reply::Join(info) => Some(info.id),
                other => panic!("unexpected reply {other:?}"),
            },
            _ => None,
        })
    }

    pub(crate) fn follow(&mut self, conversation: ConversationId, newest: u32) {
        let follow = Follow { conversation, after: Seq::ZERO, chain: [0; 8], newest };
        self.send(&ClientMessage::Follow(follow)).unwrap();
    }

    /// Sends a message and waits until it is durable.
    pub(crate) fn say(
        &mut self,
        identity: &Identity,
        conversation: ConversationId,
        counter: u64,
        body: &[u8],
    ) -> Accepted {
        self.begin_to_say(identity, conversation, counter, body);
        self.wait(|message| match message {
            RelayMessage::Accepted(accepted) if accepted.counter == Counter(counter) => {
                Some(accepted)
            }
            RelayMessage::Rejected(rejected) => panic!("rejected: {}", rejected.refusal),
            _ => None,
        })
    }

    /// Sends a message.
    pub(crate) fn begin_to_say(
        &mut self,
        identity: &Identity,
        conversation: ConversationId,
        counter: u64,
        body: &[u8],
    ) {
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
        self.send(&ClientMessage::Send(Send {
            conversation,
            floor: Counter(counter),
            envelope: envelope.encode().into(),
            signature: Vec::new().into(),
            body: body.to_vec().into(),
        }))
        .unwrap();
    }

    /// Waits until a record with this body comes; its place.
    pub(crate) fn wait_for_body(&mut self, expected: &[u8]) -> Seq {
        self.wait(|message| match message {
            RelayMessage::Records(records) => find(&records.run, expected),
            _ => None,
        })
    }

    /// Waits until the relay closes the connection.
    pub(crate) fn wait_for_end(&mut self) {
        while self.receive().is_ok() {}
    }

    fn receive(&mut self) -> io::Result<()> {
        let mut content = Vec::new();
        self.link.receive(&mut content)?;
        self.messages.extend(MessageReader::new(&content).map(|message| message.unwrap().to_vec()));
        Ok(())
    }
}

fn find(run: &Run<'_>, expected: &[u8]) -> Option<Seq> {
    run.records().find_map(|record| {
        let (seq, record) = record.unwrap();
        matches!(&record.content, Content::Body(body) if **body == *expected).then_some(seq)
    })
}
