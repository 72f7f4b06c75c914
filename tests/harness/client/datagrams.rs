//! The client's session over UDP: a socket of its own, as people have, and a task that acknowledges
//! and repeats, whether anybody reads or not.

use std::{
    cell::{Cell, RefCell},
    future::pending,
    io::{self, IoSliceMut},
    net::{Ipv4Addr, SocketAddr},
    rc::Rc,
    time::Duration,
};

use protocol::{
    connection::{ConnectionError, InitiatorConfig, datagram::Client},
    entropy::Entropy,
    message::MessageReader,
    time::Timestamp,
    transport::datagram::Codepoint,
};
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSockRef, UdpSocketState};
use tokio::{
    io::Interest,
    net::UdpSocket,
    sync::Notify,
    task::{AbortHandle, spawn_local},
    time::{Instant, sleep_until, timeout},
};

use super::ClientError;

/// What the kernel may join into one: the largest datagram there is.
const RECEIVE_BYTES: usize = 65_535;
/// What is asked of the kernel for what arrives while the thread is busy with others.
const BUFFER_BYTES: usize = 1 << 20;
/// How long the handshake may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::new());
}

/// Buffers of the thread, none of them a session's.
struct Scratch {
    received: Vec<u8>,
    meta: Vec<RecvMeta>,
    packet: Vec<u8>,
    content: Vec<u8>,
}

/// A session. Must be used inside a `LocalSet`.
#[derive(Debug)]
pub(super) struct DatagramLink {
    shared: Rc<Shared>,
    task: AbortHandle,
}

/// What the session's task and whoever reads and writes share.
#[derive(Debug)]
struct Shared {
    socket: UdpSocket,
    batches: UdpSocketState,
    client: RefCell<Client>,
    epoch: Instant,
    /// Why it is over.
    ended: RefCell<Option<ConnectionError>>,
    /// When the task wakes by itself.
    wakes: Cell<Option<Timestamp>>,
    /// Something has arrived, or there is room again.
    arrived: Notify,
    /// The task would wake too late.
    hurry: Notify,
}

impl Scratch {
    fn new() -> Self {
        Self {
            received: vec![0; RECEIVE_BYTES * BATCH_SIZE],
            meta: vec![RecvMeta::default(); BATCH_SIZE],
            packet: Vec::new(),
            content: Vec::new(),
        }
    }
}

impl DatagramLink {
    /// Shakes hands.
    pub(super) async fn connect(
        relay: SocketAddr,
        config: &InitiatorConfig,
        source: Ipv4Addr,
        entropy: &mut Entropy,
    ) -> Result<Self, ClientError> {
        let socket = UdpSocket::bind(SocketAddr::from((source, 0))).await?;
        let options = socket2::SockRef::from(&socket);
        options.set_recv_buffer_size(BUFFER_BYTES)?;
        options.set_send_buffer_size(BUFFER_BYTES)?;
        socket.connect(relay).await?;
        // Before the runtime has seen once that it is writable, nothing can be sent.
        socket.writable().await?;
        let shared = Rc::new(Shared {
            batches: UdpSocketState::new(UdpSockRef::from(&socket))?,
            socket,
            client: RefCell::new(Client::new(Timestamp::ZERO, config, entropy)?),
            epoch: Instant::now(),
            ended: RefCell::new(None),
            wakes: Cell::new(None),
            arrived: Notify::new(),
            hurry: Notify::new(),
        });
        let task = spawn_local(Rc::clone(&shared).run()).abort_handle();
        let link = Self { shared, task };
        let established = async {
            while link.shared.client.borrow().established().is_none() {
                link.shared.check()?;
                link.shared.arrived.notified().await;
            }
            Ok::<(), ClientError>(())
        };
        let timed_out = |_| io::Error::from(io::ErrorKind::TimedOut);
        timeout(CONNECT_WITHIN, established).await.map_err(timed_out)??;
        Ok(link)
    }

    /// Writes `content`, which is empty then, as soon as the session takes it.
    pub(super) async fn write(&mut self, content: &mut Vec<u8>) -> Result<(), ClientError> {
        while !content.is_empty() {
            self.shared.check()?;
            let is_written = match self.shared.client.borrow_mut().session() {
                Some(session) if session.has_room() => {
                    session.write(content);
                    content.clear();
                    true
                }
                Some(_) | None => false,
            };
            if is_written {
                self.shared.send_due();
            } else {
                self.shared.arrived.notified().await;
            }
        }
        Ok(())
    }

    /// Waits for messages and hands over all that are there. Cancel safe.
    pub(super) async fn receive(
        &mut self,
        mut on_message: impl FnMut(&[u8]),
    ) -> Result<(), ClientError> {
        loop {
            if self.shared.read(&mut on_message)? {
                return Ok(());
            }
            self.shared.check()?;
            self.shared.arrived.notified().await;
        }
    }
}

impl Drop for DatagramLink {
    fn drop(&mut self) {
        if let Some(session) = self.shared.client.borrow_mut().session() {
            session.close();
        }
        self.shared.send_due();
        self.task.abort();
    }
}

impl Shared {
    /// Does what datagrams and time ask for, until the session is over.
    async fn run(self: Rc<Self>) {
        self.send_due();
        while self.ended.borrow().is_none() {
            let due = self.client.borrow().poll_timeout();
            self.wakes.set(due);
            let timer = async {
                match due {
                    Some(due) => {
                        sleep_until(self.epoch + Duration::from_micros(due.as_micros())).await;
                    }
                    None => pending().await,
                }
            };
            tokio::select! {
                // An error belongs to something that was sent before: it is lost, as others are.
                _ = self.socket.readable() => {
                    self.take_datagrams();
                    self.arrived.notify_one();
                }
                () = timer => self.client.borrow_mut().handle_timeout(self.now()),
                () = self.hurry.notified() => {}
            }
            self.send_due();
        }
        self.arrived.notify_one();
    }

    fn take_datagrams(&self) {
        let mut client = self.client.borrow_mut();
        SCRATCH.with_borrow_mut(|scratch| {
            let Scratch { received, meta, .. } = scratch;
            let mut slices: Vec<IoSliceMut<'_>> =
                received.chunks_mut(RECEIVE_BYTES).map(IoSliceMut::new).collect();
            let receive = || self.batches.recv(UdpSockRef::from(&self.socket), &mut slices, meta);
            let Ok(count) = self.socket.try_io(Interest::READABLE, receive) else { return };
            let now = self.now();
            for (bytes, meta) in received.chunks_mut(RECEIVE_BYTES).zip(meta).take(count) {
                for datagram in bytes[..meta.len].chunks_mut(meta.stride.max(1)) {
                    if let Err(error) = client.handle_datagram(now, Codepoint::NotCapable, datagram)
                    {
                        self.ended.replace(Some(error));
                        return;
                    }
                }
            }
        });
    }

    /// Hands over the messages that are there; whether there were any.
    fn read(&self, on_message: &mut impl FnMut(&[u8])) -> Result<bool, ClientError> {
        SCRATCH
            .with_borrow_mut(|scratch| {
                let content = &mut scratch.content;
                content.clear();
                if let Some(session) = self.client.borrow_mut().session() {
                    while session.read(content)? {}
                }
                for message in MessageReader::new(content) {
                    on_message(message?);
                }
                Ok(!content.is_empty())
            })
            .inspect(|was_any| {
                if *was_any {
                    // Reading gives the relay leave to send more.
                    self.send_due();
                }
            })
    }

    /// Sends what has to leave now. What the kernel does not take is lost, and sent again as such.
    fn send_due(&self) {
        let mut client = self.client.borrow_mut();
        let now = self.now();
        SCRATCH.with_borrow_mut(|scratch| {
            let packet = &mut scratch.packet;
            packet.clear();
            while client.poll_packet(now, packet) {
                let _ = self.socket.try_send(packet);
                packet.clear();
            }
        });
        let due = client.poll_timeout();
        if due.is_some_and(|due| self.wakes.get().is_none_or(|wakes| due < wakes)) {
            self.wakes.set(due);
            self.hurry.notify_one();
        }
    }

    /// Whether the session goes on.
    fn check(&self) -> Result<(), ClientError> {
        if self.ended.borrow().is_none() {
            return Ok(());
        }
        // The reason is told once.
        let error = self.ended.replace(Some(ConnectionError::Closed));
        Err(error.unwrap_or(ConnectionError::Closed).into())
    }

    fn now(&self) -> Timestamp {
        let micros = self.epoch.elapsed().as_micros();
        Timestamp::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}
