//! The relay's ends of connections, on a stream or over datagrams: bytes in, inputs for the hub, and
//! what sessions say out.

use std::net::{IpAddr, Ipv4Addr};

use chat_server::{
    hub::{Input, SessionId},
    session::{Read, Session},
};
use protocol::{
    connection::{Connection, ReceivedKind},
    ids::DeviceId,
    limits::BATCH_BYTES_TARGET,
    message::{ClientMessage, MessageReader, RelayMessage},
    time::{Timestamp, WallTime},
    transport::packet::ConnectionId,
};

use super::{
    ADOPTED_FROM, GOODBYE_TIME, Pumped, Running, SILENCE_MAX,
    door::{Door, Touched},
};
use crate::{
    bugs::Bug,
    marks::{Mark, Marks},
    network::LinkId,
    paths::Place,
};

/// The relay's end of a connection.
pub(super) struct End {
    carrier: Carrier,
    pub(super) session: Option<(SessionId, Session)>,
    pub(super) device: Option<DeviceId>,
    pub(super) heard: Timestamp,
    /// It was told to go, and is forgotten when it knows, or then.
    pub(super) leaves_by: Option<Timestamp>,
}

enum Carrier {
    Stream { connection: Box<Connection>, inbox: Vec<u8> },
    Datagrams(ConnectionId),
}

impl End {
    pub(super) fn over_stream(now: Timestamp, connection: Connection) -> Self {
        let connection = Box::new(connection);
        Self::new(now, Carrier::Stream { connection, inbox: Vec::new() })
    }

    const fn new(now: Timestamp, carrier: Carrier) -> Self {
        Self { carrier, session: None, device: None, heard: now, leaves_by: None }
    }
}

impl Running {
    /// Takes a piece of a stream. An error is a reason to close it.
    pub(super) fn receive(
        &mut self,
        now: Timestamp,
        wall: WallTime,
        link: LinkId,
        bytes: &[u8],
        bug: Option<Bug>,
    ) -> Result<(), String> {
        let Some(end) = self.ends.get_mut(&link) else { return Ok(()) };
        let Carrier::Stream { connection, inbox } = &mut end.carrier else { return Ok(()) };
        end.heard = now;
        inbox.extend_from_slice(bytes);
        let mut content = Vec::new();
        let mut start = 0;
        let outcome = loop {
            match connection.receive(&mut inbox[start..]) {
                Ok(Some(received)) => {
                    start += received.consumed;
                    if let ReceivedKind::Content(more) = received.kind {
                        content.extend_from_slice(more);
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error.to_string()),
            }
        };
        inbox.drain(..start);
        self.take(now, wall, link, &content, bug)?;
        outcome
    }

    /// Takes a datagram: where the device was whose session it has ended, if it did.
    pub(super) fn receive_datagram(
        &mut self,
        now: Timestamp,
        wall: WallTime,
        from: Place,
        datagram: &mut [u8],
        bug: Option<Bug>,
    ) -> Result<Option<Place>, String> {
        let (link, id) = match self.door.receive(now, from, datagram) {
            Touched::Nobody => return Ok(None),
            Touched::Known(link, id) => (link, id),
            Touched::New(id) => {
                let link = LinkId(ADOPTED_FROM + self.adopted);
                self.adopted += 1;
                self.ends.insert(link, End::new(now, Carrier::Datagrams(id)));
                self.door.adopt(id, link);
                (link, id)
            }
            Touched::Ended(link, place) => {
                self.closed(now, wall, link);
                return Ok(Some(place));
            }
        };
        let Some(end) = self.ends.get_mut(&link) else { return Ok(None) };
        end.heard = now;
        if end.leaves_by.is_some() {
            return Ok(None);
        }
        let mut content = Vec::new();
        while let Some(session) = self.door.session(id)
            && session.read(&mut content).map_err(|error| error.to_string())?
        {}
        let (to, content) = self.plant(link, content, bug);
        self.take(now, wall, to, &content, bug)?;
        Ok(None)
    }

    /// What a wrong driver would make of what it read: whose it is, and what.
    fn plant(&mut self, link: LinkId, content: Vec<u8>, bug: Option<Bug>) -> (LinkId, Vec<u8>) {
        let is_live = self.ends.get(&link).is_some_and(|end| end.session.is_some());
        if !is_live || content.is_empty() {
            return (link, content);
        }
        self.runs_read += 1;
        match bug {
            Some(Bug::ReadByAnother) if self.runs_read.is_multiple_of(8) => {
                let is_other = |(other, end): &(&LinkId, &End)| {
                    **other != link && end.session.is_some() && end.leaves_by.is_none()
                };
                let other = self.ends.iter().find(is_other).map_or(link, |(other, _)| *other);
                (other, content)
            }
            Some(Bug::ReadLost) if self.runs_read.is_multiple_of(8) => (link, Vec::new()),
            Some(Bug::ReadReversed) => {
                let mut messages: Vec<&[u8]> = Vec::new();
                let mut reader = MessageReader::new(&content);
                let mut rest = &content[..];
                while let Some(Ok(_)) = reader.next() {
                    messages.push(&rest[..rest.len() - reader.rest().len()]);
                    rest = reader.rest();
                }
                messages.reverse();
                (link, messages.concat())
            }
            Some(_) | None => (link, content),
        }
    }

    /// Takes whole messages of a connection. An error is a reason to close it.
    fn take(
        &mut self,
        now: Timestamp,
        wall: WallTime,
        link: LinkId,
        content: &[u8],
        bug: Option<Bug>,
    ) -> Result<(), String> {
        let mut inputs = Vec::new();
        for message in MessageReader::new(content) {
            let bytes = message.map_err(|error| error.to_string())?;
            let message = ClientMessage::decode(bytes).map_err(|error| error.to_string())?;
            inputs.extend(self.input(link, message, bug)?);
        }
        for input in inputs {
            self.hub.handle_input(now, wall, input);
        }
        Ok(())
    }

    /// What a message is for the hub, if it is for the hub.
    fn input(
        &mut self,
        link: LinkId,
        message: ClientMessage<'_>,
        bug: Option<Bug>,
    ) -> Result<Option<Input>, String> {
        let Some(end) = self.ends.get_mut(&link) else { return Ok(None) };
        let Some((session, state)) = &mut end.session else {
            let ClientMessage::Attach(attach) = message else {
                return Err("a message before attach".into());
            };
            let peer = match &mut end.carrier {
                Carrier::Stream { connection, .. } => {
                    connection.allow_full_packets();
                    connection.peer().cloned()
                }
                Carrier::Datagrams(id) => {
                    self.door.trust(*id);
                    self.door.session(*id).map(|session| session.peer().clone())
                }
            };
            let channel_key = peer.ok_or("content before a handshake")?.static_key;
            let session = SessionId::new(0, self.next_session);
            self.next_session += 1;
            end.session = Some((session, Session::new()));
            self.links.insert(session, link);
            let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
            return Ok(Some(Input::Attach { session, channel_key, address, attach }));
        };
        let session = *session;
        Ok(Some(match message {
            ClientMessage::Send(send) => {
                let body = protocol::message::encoding::encode(&send);
                let len = u32::try_from(body.len()).expect("it fits a packet");
                let sum = body.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
                if bug == Some(Bug::SendDropped) && sum % 32 == 5 {
                    return Ok(None);
                }
                Input::Sends { bytes: body, items: vec![(session, 0..len)] }
            }
            ClientMessage::Request(id, request) => Input::Request { session, id, request },
            ClientMessage::Follow(follow) => Input::Follow { session, follow },
            ClientMessage::Mark(mark) => Input::Mark { session, mark },
            ClientMessage::Show(show) => Input::Show { session, show },
            ClientMessage::Watch(watch) => Input::Watch { session, watch },
            ClientMessage::Typing(typing) => Input::Typing { session, typing },
            ClientMessage::Pull(pull) => {
                state.pull(pull);
                return Ok(None);
            }
            ClientMessage::Ping(ping) => {
                state.push(&RelayMessage::Pong(ping));
                return Ok(None);
            }
            ClientMessage::Detach(()) | ClientMessage::Unknown(_) => return Ok(None),
            ClientMessage::Attach(_) => return Err("a second attach".into()),
        }))
    }

    /// A connection is over, and the hub has to hear it.
    pub(super) fn closed(&mut self, now: Timestamp, wall: WallTime, link: LinkId) {
        let Some(end) = self.ends.remove(&link) else { return };
        if let Carrier::Datagrams(id) = end.carrier {
            self.door.close(now, id, &mut self.goodbyes);
        }
        if let Some((id, _)) = end.session {
            self.forget(id);
            self.hub.handle_input(now, wall, Input::Detached { session: id });
        }
    }

    pub(super) fn give_up_the_silent(
        &mut self,
        now: Timestamp,
        wall: WallTime,
        marks: &mut Marks,
        pumped: &mut Pumped,
    ) {
        let silent: Vec<_> = self
            .ends
            .iter()
            .filter(|(_, end)| now >= end.heard + SILENCE_MAX)
            .map(|(link, _)| *link)
            .collect();
        for link in silent {
            marks.hit(Mark::HalfOpenFound);
            self.closed(now, wall, link);
            pumped.closes.push(link);
        }
    }

    /// Gives what sessions say to their connections, and forgets those that have gone.
    pub(super) fn flush(&mut self, now: Timestamp, marks: &mut Marks, pumped: &mut Pumped) {
        let mut gone = Vec::new();
        for (link, end) in &mut self.ends {
            let mut bytes = Vec::new();
            if let Carrier::Stream { connection, .. } = &mut end.carrier {
                while let Some(packet) = connection.poll_transmit() {
                    bytes.extend_from_slice(&packet);
                }
            }
            if let Some((id, session)) = &mut end.session {
                loop {
                    while let Some(read) = session.poll_read() {
                        if matches!(read, Read::Runs { .. }) {
                            marks.hit(Mark::TailEviction);
                        }
                        self.reads.push_back((*id, read));
                        pumped.reads += 1;
                    }
                    if !end.carrier.compose(&mut self.door, session, &self.tails, &mut bytes) {
                        break;
                    }
                }
                if session.is_closing() && end.leaves_by.is_none() {
                    end.leaves_by = Some(now + GOODBYE_TIME);
                }
            }
            if !bytes.is_empty() {
                pumped.writes.push((*link, bytes));
            }
            if let Some(by) = end.leaves_by
                && (now >= by || end.carrier.is_flushed(&mut self.door))
            {
                gone.push(*link);
            }
        }
        for link in gone {
            let Some(end) = self.ends.remove(&link) else { continue };
            match end.carrier {
                Carrier::Stream { .. } => pumped.closes.push(link),
                Carrier::Datagrams(id) => self.door.close(now, id, &mut self.goodbyes),
            }
            if let Some((id, _)) = end.session {
                self.forget(id);
            }
        }
    }

    fn forget(&mut self, id: SessionId) {
        self.links.remove(&id);
        for followers in self.followers.values_mut() {
            followers.remove(&id);
        }
    }
}

impl Carrier {
    /// Takes a run of what a session has to say; false if it has nothing or there is no room.
    fn compose(
        &mut self,
        door: &mut Door,
        session: &mut Session,
        tails: &chat_server::tail::Tails,
        bytes: &mut Vec<u8>,
    ) -> bool {
        if !session.has_output() {
            return false;
        }
        let mut content = Vec::new();
        match self {
            Self::Stream { connection, .. } => {
                session.compose(tails, &mut content, BATCH_BYTES_TARGET);
                if !content.is_empty() {
                    connection
                        .seal(bytes, |out| out.extend_from_slice(&content))
                        .expect("a session's connection is established");
                }
            }
            Self::Datagrams(id) => {
                let Some(transport) = door.session(*id).filter(|it| it.has_room()) else {
                    return false;
                };
                session.compose(tails, &mut content, BATCH_BYTES_TARGET);
                transport.write(&content);
            }
        }
        !content.is_empty()
    }

    /// True if the peer has everything, or nobody can know.
    fn is_flushed(&self, door: &mut Door) -> bool {
        match self {
            Self::Stream { .. } => true,
            Self::Datagrams(id) => door.session(*id).is_none_or(|session| session.is_flushed()),
        }
    }
}
