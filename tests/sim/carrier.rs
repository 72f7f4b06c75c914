//! The client's end of a connection, whatever carries it, driven as the program's own drivers do:
//! what arrives goes in, runs of messages come out, and back.

use protocol::{
    connection::{
        Connection, ConnectionError, InitiatorConfig, ReceivedKind,
        datagram::{Client, Session},
    },
    entropy::Entropy,
    limits::BATCH_BYTES_TARGET,
    time::Timestamp,
    transport::{datagram::Codepoint, packet::PacketKind},
};

use super::{
    bugs::Bug,
    marks::{Mark, Marks, Seen},
    memory,
    model::Violation,
};

/// Either end.
pub(crate) enum Carrier {
    Stream(Box<StreamEnd>),
    Datagrams(Box<DatagramEnd>),
}

/// A byte stream.
pub(crate) struct StreamEnd {
    connection: Connection,
    inbox: Vec<u8>,
}

/// Datagrams.
pub(crate) struct DatagramEnd {
    client: Client,
    packets_per_key: u64,
    is_established: bool,
    seen: Seen,
}

/// What came of something that arrived.
#[derive(Debug, Default)]
pub(crate) struct Arrived {
    /// The handshake is finished.
    pub(crate) is_established: bool,
    /// Messages, each with its length.
    pub(crate) content: Vec<u8>,
    /// The connection is over, and why.
    pub(crate) lost: Option<String>,
}

impl Carrier {
    /// Begins on a stream.
    pub(crate) fn over_stream(config: &InitiatorConfig, entropy: &mut Entropy) -> Self {
        let connection =
            Connection::initiator(config, entropy).expect("a valid relay key can be dialled");
        Self::Stream(Box::new(StreamEnd { connection, inbox: Vec::new() }))
    }

    /// Begins over datagrams.
    pub(crate) fn over_datagrams(
        now: Timestamp,
        config: &InitiatorConfig,
        entropy: &mut Entropy,
        packets_per_key: u64,
    ) -> Self {
        let client = Client::new(now, config, entropy).expect("a valid relay key can be dialled");
        let seen = Seen::default();
        let end = DatagramEnd { client, packets_per_key, is_established: false, seen };
        Self::Datagrams(Box::new(end))
    }

    pub(crate) const fn is_established(&self) -> bool {
        match self {
            Self::Stream(end) => end.connection.is_established(),
            Self::Datagrams(end) => end.is_established,
        }
    }

    /// Takes a piece of a stream, or a datagram.
    pub(crate) fn receive(
        &mut self,
        now: Timestamp,
        bytes: &mut [u8],
        bug: Option<Bug>,
        marks: &mut Marks,
    ) -> Result<Arrived, Violation> {
        match self {
            Self::Stream(end) => Ok(end.receive(bytes)),
            Self::Datagrams(end) => end.receive(now, bytes, bug, marks),
        }
    }

    /// Sends what the engine has to say and what else has to leave now: writes, or datagrams.
    pub(crate) fn send(
        &mut self,
        now: Timestamp,
        mut next: impl FnMut(&mut Vec<u8>) -> Result<bool, Violation>,
        out: &mut Vec<Vec<u8>>,
    ) -> Result<(), Violation> {
        match self {
            Self::Stream(end) => {
                let mut content = Vec::new();
                while next(&mut content)? {}
                out.extend(end.send(&content));
            }
            Self::Datagrams(end) => end.send(now, next, out)?,
        }
        Ok(())
    }

    /// Tells the other end that this one goes, if that is for us to say.
    pub(crate) fn close(&mut self, now: Timestamp, out: &mut Vec<Vec<u8>>) {
        if let Self::Datagrams(end) = self
            && let Some(session) = end.client.session()
        {
            session.close();
            end.flush(now, out);
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        match self {
            Self::Stream(_) => None,
            Self::Datagrams(end) => end.client.poll_timeout(),
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Timestamp, bug: Option<Bug>) {
        if let Self::Datagrams(end) = self
            && bug != Some(Bug::ClientTimeoutIgnored)
        {
            end.client.handle_timeout(now);
        }
    }

    /// True if nothing that was said is still under way, as far as this end can know.
    pub(crate) fn is_flushed(&self) -> bool {
        match self {
            Self::Stream(_) => true,
            Self::Datagrams(end) => end.client.established().is_some_and(Session::is_flushed),
        }
    }

    /// Notes what the transport has counted since the last look, and whether it keeps its bounds.
    pub(crate) fn look(&mut self, marks: &mut Marks) -> Result<(), Violation> {
        if let Self::Datagrams(end) = self
            && let Some(session) = end.client.established()
        {
            end.seen.note(session, marks);
            memory::check_session(session, true)?;
        }
        Ok(())
    }
}

impl StreamEnd {
    fn receive(&mut self, bytes: &[u8]) -> Arrived {
        self.inbox.extend_from_slice(bytes);
        let mut arrived = Arrived::default();
        let mut start = 0;
        loop {
            match self.connection.receive(&mut self.inbox[start..]) {
                Ok(Some(received)) => {
                    start += received.consumed;
                    match received.kind {
                        ReceivedKind::Established => arrived.is_established = true,
                        ReceivedKind::Content(content) => {
                            arrived.content.extend_from_slice(content);
                        }
                        ReceivedKind::Handshake | ReceivedKind::Probe | ReceivedKind::Beacon(_) => {
                        }
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    arrived.lost = Some(error.to_string());
                    break;
                }
            }
        }
        if arrived.is_established {
            self.connection.allow_full_packets();
        }
        self.inbox.drain(..start);
        arrived
    }

    /// What has to leave, as one write.
    fn send(&mut self, content: &[u8]) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        while let Some(packet) = self.connection.poll_transmit() {
            bytes.extend_from_slice(&packet);
        }
        if !content.is_empty() && self.connection.is_established() {
            seal(&mut self.connection, content, &mut bytes);
        }
        (!bytes.is_empty()).then_some(bytes)
    }
}

impl DatagramEnd {
    fn receive(
        &mut self,
        now: Timestamp,
        datagram: &mut [u8],
        bug: Option<Bug>,
        marks: &mut Marks,
    ) -> Result<Arrived, Violation> {
        let mut arrived = Arrived::default();
        let kind = datagram.first().copied().and_then(PacketKind::from_byte);
        if kind == Some(PacketKind::Retry) && !self.is_established {
            marks.hit(Mark::CookieAsked);
        }
        if bug == Some(Bug::ResetBelieved) && kind == Some(PacketKind::Reset) {
            arrived.lost = Some("reset".into());
            return Ok(arrived);
        }
        match self.client.handle_datagram(now, Codepoint::Capable, datagram) {
            Ok(()) => {}
            Err(error @ (ConnectionError::Closed | ConnectionError::Reset)) => {
                if error == ConnectionError::Reset {
                    marks.hit(Mark::ResetReceived);
                }
                arrived.lost = Some(error.to_string());
            }
            Err(error) => return Err(Violation(format!("P3: an honest relay is not: {error}"))),
        }
        let Some(session) = self.client.session() else { return Ok(arrived) };
        if !self.is_established {
            self.is_established = true;
            arrived.is_established = true;
            session.set_packets_per_key(self.packets_per_key);
        }
        let read = |error| Violation(format!("P3: an honest relay is not: {error}"));
        while session.read(&mut arrived.content).map_err(read)? {}
        if bug == Some(Bug::ReadTwice) {
            arrived.content.extend_from_within(..);
        }
        Ok(arrived)
    }

    fn send(
        &mut self,
        now: Timestamp,
        mut next: impl FnMut(&mut Vec<u8>) -> Result<bool, Violation>,
        out: &mut Vec<Vec<u8>>,
    ) -> Result<(), Violation> {
        while let Some(session) = self.client.session()
            && session.has_room()
        {
            let mut content = Vec::new();
            while content.len() < BATCH_BYTES_TARGET && next(&mut content)? {}
            if content.is_empty() {
                break;
            }
            session.write(&content);
        }
        self.flush(now, out);
        Ok(())
    }

    fn flush(&mut self, now: Timestamp, out: &mut Vec<Vec<u8>>) {
        let mut packet = Vec::new();
        while self.client.poll_packet(now, &mut packet) {
            out.push(std::mem::take(&mut packet));
        }
    }
}

/// Seals content in packets of at most the largest size, cut at messages.
fn seal(connection: &mut Connection, content: &[u8], out: &mut Vec<u8>) {
    let mut batch = Vec::new();
    let mut rest = content;
    while !rest.is_empty() {
        let whole = whole_len(rest);
        // An attach has to fit the small packet of a session that is not live yet.
        if !batch.is_empty() && batch.len() + whole > 1_500 {
            connection.seal(out, |out| out.extend_from_slice(&batch)).expect("established");
            batch.clear();
        }
        batch.extend_from_slice(&rest[..whole]);
        rest = &rest[whole..];
    }
    if !batch.is_empty() {
        connection.seal(out, |out| out.extend_from_slice(&batch)).expect("established");
    }
}

/// Length of the first message with its prefix.
fn whole_len(content: &[u8]) -> usize {
    let (len, prefix) = protocol::message::encoding::read_varint(content).expect("we encoded it");
    prefix + usize::try_from(len).expect("it fits a packet")
}
