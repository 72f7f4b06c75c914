//! A relay for this program's own tests: one room, nothing stored, and mischief on demand, so that
//! it is shown that the load generator notices what it claims to notice.

use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    net::Ipv4Addr,
    rc::Rc,
    sync::Arc,
};

use harness::client::RelayEndpoint;
use protocol::{
    channel::keys::StaticKey,
    connection::{Connection, ReceivedKind, ResponderConfig},
    entropy::Entropy,
    ids::{AccountId, ConversationId, DeviceId, LogId, Seq},
    message::{
        ClientMessage, MessageReader, RelayMessage,
        ext::Ext,
        record::{Content, Envelope, Record, Run},
        request::{Reply, Request},
        room::{Access, AccountInfo, ConversationInfo, Kind, Role, Standing},
        session::{Accepted, Following, Records, Send, Welcome},
    },
    time::WallTime,
    transport::TransportKind,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::spawn_local,
};

const ROOM: ConversationId = ConversationId([9; 16]);

/// What is done to the tenth run that the first member gets, or to the tenth message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mischief {
    /// Nothing.
    None,
    /// It is left out.
    Lose,
    /// It is sent twice.
    Double,
    /// It is sent after the next one.
    Swap,
    /// Everybody gets it under another device's name.
    Forge,
    /// It is never acknowledged.
    ForgetToAccept,
}

const TENTH: u64 = 10;

/// What all connections share.
#[derive(Debug)]
struct Shared {
    mischief: Mischief,
    head: Cell<Seq>,
    followers: RefCell<Vec<UnboundedSender<Vec<u8>>>>,
    held_back: RefCell<Option<Vec<u8>>>,
}

/// Serves until the `LocalSet` it was started in ends.
pub(crate) async fn start(mischief: Mischief) -> RelayEndpoint {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let static_key = Arc::new(StaticKey::generate(&mut Entropy::system()));
    let key = static_key.relay_key();
    let config = Arc::new(ResponderConfig::new(static_key, "fake".to_owned()));
    let shared = Rc::new(Shared {
        mischief,
        head: Cell::new(Seq::ZERO),
        followers: RefCell::default(),
        held_back: RefCell::default(),
    });
    spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            spawn_local(Session::serve(stream, Arc::clone(&config), Rc::clone(&shared)));
        }
    });
    RelayEndpoint { address, key, transport: TransportKind::Stream }
}

struct Session {
    shared: Rc<Shared>,
    connection: Connection,
    inbox: UnboundedSender<Vec<u8>>,
}

impl Session {
    async fn serve(mut stream: TcpStream, config: Arc<ResponderConfig>, shared: Rc<Shared>) {
        let connection = Connection::responder(config, &mut Entropy::system());
        let (inbox, mut outbox) = unbounded_channel();
        let mut session = Self { shared, connection, inbox };
        let mut bytes = Vec::new();
        loop {
            let mut out = Vec::new();
            tokio::select! {
                read = stream.read_buf(&mut bytes) => match read {
                    Ok(1..) => session.receive(&mut bytes, &mut out),
                    Ok(0) | Err(_) => return,
                },
                Some(content) = outbox.recv() => session.send(content, &mut outbox, &mut out),
            }
            if stream.write_all(&out).await.is_err() {
                return;
            }
        }
    }

    fn receive(&mut self, bytes: &mut Vec<u8>, out: &mut Vec<u8>) {
        let mut replies = Vec::new();
        while let Some(received) = self.connection.receive(bytes).unwrap() {
            if let ReceivedKind::Content(content) = received.kind {
                for message in MessageReader::new(content) {
                    let message = ClientMessage::decode(message.unwrap()).unwrap();
                    replies.extend(self.shared.answer(message, &self.inbox));
                }
            }
            let consumed = received.consumed;
            self.connection.allow_full_packets();
            bytes.drain(..consumed);
        }
        out.extend(self.connection.poll_transmit().unwrap_or_default());
        if !replies.is_empty() {
            let fill = |out: &mut Vec<u8>| replies.iter().for_each(|reply| reply.append_to(out));
            self.connection.seal(out, fill).unwrap();
        }
    }

    fn send(
        &mut self,
        content: Vec<u8>,
        outbox: &mut UnboundedReceiver<Vec<u8>>,
        out: &mut Vec<u8>,
    ) {
        self.connection.seal(out, |out| out.extend(content)).unwrap();
        while let Ok(content) = outbox.try_recv() {
            self.connection.seal(out, |out| out.extend(content)).unwrap();
        }
    }
}

impl Shared {
    fn answer(
        &self,
        message: ClientMessage<'_>,
        inbox: &UnboundedSender<Vec<u8>>,
    ) -> Option<RelayMessage<'static>> {
        match message {
            ClientMessage::Attach(_) => Some(RelayMessage::Welcome(welcome())),
            ClientMessage::Request(id, Request::CreateRoom(_)) => {
                Some(RelayMessage::Reply(id, Ok(Reply::CreateRoom(self.room()))))
            }
            ClientMessage::Request(id, Request::Join(_)) => {
                Some(RelayMessage::Reply(id, Ok(Reply::Join(self.room()))))
            }
            ClientMessage::Follow(_) => {
                self.followers.borrow_mut().push(inbox.clone());
                let (from, head) = (self.head.get().next(), self.head.get());
                let (conversation, chain, first) = (ROOM, [0; 32], Seq::FIRST);
                Some(RelayMessage::Following(Following { conversation, from, chain, first, head }))
            }
            ClientMessage::Send(send) => self.take(&send).map(RelayMessage::Accepted),
            _ => None,
        }
    }

    fn take(&self, send: &Send<'_>) -> Option<Accepted> {
        let seq = self.head.get().next();
        self.head.set(seq);
        let envelope = Envelope::decode(&send.envelope).unwrap();
        let counter = envelope.counter;
        let forged = self.mischief == Mischief::Forge && seq.0 == TENTH;
        let device = if forged { DeviceId([66; 16]) } else { envelope.device };
        let mut records = Vec::new();
        Record {
            envelope: Cow::Owned(Envelope { device, ..envelope }.encode()),
            signature: Cow::Borrowed(&[]),
            content: Content::Body(Cow::Borrowed(&send.body)),
        }
        .append_to(&mut records);
        let time = WallTime::default();
        let run = Run { first: seq, time, count: 1, records: Cow::Owned(records) };
        let mut content = Vec::new();
        RelayMessage::Records(Records { conversation: ROOM, run }).append_to(&mut content);
        self.publish(seq, &content);
        let forgotten = self.mischief == Mischief::ForgetToAccept && seq.0 == TENTH;
        (!forgotten).then_some(Accepted { conversation: ROOM, counter, seq, time })
    }

    fn publish(&self, seq: Seq, content: &[u8]) {
        let followers = self.followers.borrow();
        let (victim, others) = followers.split_first().unwrap();
        for other in others {
            other.send(content.to_vec()).unwrap();
        }
        let is_tenth = seq.0 == TENTH;
        let copies = match self.mischief {
            Mischief::Lose if is_tenth => 0,
            Mischief::Double if is_tenth => 2,
            Mischief::Swap if is_tenth => {
                *self.held_back.borrow_mut() = Some(content.to_vec());
                return;
            }
            _ => 1,
        };
        (0..copies).for_each(|_| victim.send(content.to_vec()).unwrap());
        if let Some(held_back) = self.held_back.take() {
            victim.send(held_back).unwrap();
        }
    }

    fn room(&self) -> ConversationInfo {
        ConversationInfo {
            id: ROOM,
            kind: Kind::OPEN_ROOM,
            name: "room".to_owned(),
            topic: String::new(),
            access: Access::ANYONE,
            standing: Standing::JOINED,
            role: Role::MEMBER,
            muted_until: WallTime::default(),
            peer: None,
            first: Seq::FIRST,
            head: self.head.get(),
            read: Seq::ZERO,
            members: 0,
            genesis: serde_bytes::ByteBuf::new(),
            ext: Ext::none(),
        }
    }
}

fn welcome() -> Welcome {
    let account = AccountId([0; 16]);
    Welcome {
        account: AccountInfo { account, name: String::new(), ext: Ext::none() },
        device: DeviceId([0; 16]),
        relay_name: "fake".to_owned(),
        log_id: LogId([0; 16]),
        keys: Vec::new(),
        highest: protocol::ids::Counter(0),
        now: WallTime::default(),
        conversations: 0,
        body_bytes_max: 32_768,
        ext: Ext::none(),
    }
}
