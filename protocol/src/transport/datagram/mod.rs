//! Reliable delivery over datagrams: our own acknowledgements and retransmission (wire §10).
//!
//! ```text
//!   write ─▶ streams ─▶ packets ─▶ seal, send          receive, open ─▶ packets ─▶ streams ─▶ read
//!              ▲           │                                              │
//!              └── lost ◀──┴──────────── acknowledgements ◀───────────────┘
//! ```
//!
//! [`Transport`] is one side of one session, after the handshake and below the messages. It deals in
//! the content of packets: whoever holds it seals and opens them, and knows addresses.
//!
//! - A packet has a number of its own and is never repeated: what was lost travels again in a new one
//!   (RFC 9000 §13.3). Acknowledgements name ranges of numbers, so the sender always knows which
//!   packet arrived, and measures round trips without ambiguity.
//! - Order is kept in each [stream](streams) alone.
//! - A loss is noticed by later packets that arrive (RFC 9002 §6.1) or, in a conversation where
//!   nothing follows, by a timer of the packet's own. [`tuning`] holds every number and says where
//!   this differs from RFC 9002, and why it is safe.
//!
//! # Driving it
//!
//! As every machine here: one input (`handle_*`, [`Transport::write`]), then [`Transport::poll_packet`]
//! until `None` and [`Transport::readable`] until `None`, then wait for [`Transport::poll_timeout`].

mod congestion;
mod copies;
mod ecn;
mod frame;
mod mtu;
mod pacing;
mod packing;
mod range_set;
mod received;
mod recovery;
mod rtt;
mod sent;
mod stats;
mod streams;
pub mod trace;
pub mod tuning;

use std::{collections::VecDeque, time::Duration};

pub use self::{
    congestion::Algorithm,
    ecn::Codepoint,
    frame::{Malformed, NAME_BYTES},
    rtt::Rtt,
    sent::{NeverSent, Reason},
    stats::Stats,
    streams::{StreamKey, StreamViolation},
};
use self::{
    congestion::{Controller, DeliveryRate},
    copies::Copies,
    ecn::Ecn,
    frame::{ACK_BYTES_MAX, Frame, Frames},
    mtu::Sizes,
    pacing::Pacer,
    received::{Received, Urgency},
    recovery::Probing,
    sent::{Content, Sent, SentPacket},
    streams::{ReceiveStreams, SendStreams},
    trace::{Gauges, Payloads, Recorder},
    tuning::{COPY_BYTES_INITIAL, THIN_PACKETS_MAX},
};
use crate::time::Timestamp;

/// What one packet may hold besides the acknowledgement before anything of use fits.
const USEFUL_BYTES_MIN: usize = 32;
/// Challenges of the peer that wait for their answers. A peer that sends more is answered the newest.
const RESPONSES_MAX: usize = 4;

/// One side of a session over datagrams. See the module for how to drive it.
#[derive(Clone, Debug)]
pub struct Transport {
    rtt: Rtt,
    sent: Sent,
    received: Received,
    outgoing: SendStreams,
    incoming: ReceiveStreams,
    controller: Controller,
    pacer: Pacer,
    rate: DeliveryRate,
    sizes: Sizes,
    ecn: Ecn,
    probing: Probing,
    /// When the newest packet was sent that was acknowledged.
    newest_acked_at: Timestamp,
    /// Copies of what was just sent again, for packets of their own.
    copies: VecDeque<Copies>,
    /// Bytes of copies that may be sent, in hundredths.
    copy_budget: u64,
    /// Of first tries, how many needed a second: thousandths, smoothed.
    retried: u32,
    responses: VecDeque<[u8; 8]>,
    /// What the peer sent back of a challenge.
    proof: Option<[u8; 8]>,
    /// The session's newest name, and whether it has to be told.
    name: Option<[u8; NAME_BYTES]>,
    is_name_due: bool,
    /// What the peer told of that.
    told_name: Option<[u8; NAME_BYTES]>,
    /// The packet that told it last: one that it has overtaken tells an older one.
    name_told_by: Option<u64>,
    /// Credit that the peer has to be told.
    credit: Option<u64>,
    trust: Trust,
    closing: Closing,
    /// When the last packet left that was not full and had something new in it.
    spaced_from: Option<Timestamp>,
    /// When pace or spacing let something leave that waits.
    paced_until: Option<Timestamp>,
    algorithm: Algorithm,
    last_reason: Reason,
    /// Bytes around the content of a packet: header, tag.
    overhead: usize,
    stats: Stats,
    /// Of what happens, if anybody looks.
    recorder: Option<Box<Recorder>>,
}

/// How much of our memory the peer may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// No more than [`tuning::CREDIT_BYTES_INITIAL`]: nobody knows yet who it is.
    Stranger,
    /// As much as its reader lets it.
    Known,
}

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    No,
    /// The peer has to be told.
    Due,
    /// Nothing is sent or taken any more.
    Closed,
}

/// A peer that broke the rules. Everything it says was authenticated: end the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Not frames.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// An acknowledgement for nothing.
    #[error(transparent)]
    NeverSent(#[from] NeverSent),
    /// More than it was allowed.
    #[error(transparent)]
    Credit(#[from] StreamViolation),
}

/// What came of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handled {
    /// It was taken.
    Taken,
    /// It came before: nothing was changed.
    Duplicate,
    /// The peer has ended the session.
    Closed,
}

impl Transport {
    /// A session that begins now. The handshake measured a round trip, or nobody did.
    /// `overhead_bytes` is what a packet has around its content.
    pub fn new(
        now: Timestamp,
        algorithm: Algorithm,
        round_trip: Option<Duration>,
        trust: Trust,
        overhead_bytes: usize,
    ) -> Self {
        let sizes = Sizes::default();
        let datagram_bytes = sizes.current() as u64;
        Self {
            rtt: Rtt::new(round_trip),
            sent: Sent::default(),
            received: Received::default(),
            outgoing: SendStreams::new(),
            incoming: ReceiveStreams::new(),
            controller: Controller::new(algorithm, datagram_bytes),
            pacer: Pacer::new(now, datagram_bytes),
            rate: DeliveryRate::default(),
            sizes,
            ecn: Ecn::default(),
            probing: Probing::default(),
            newest_acked_at: now,
            copies: VecDeque::new(),
            copy_budget: COPY_BYTES_INITIAL * 100,
            retried: 0,
            responses: VecDeque::new(),
            proof: None,
            name: None,
            is_name_due: false,
            told_name: None,
            name_told_by: None,
            credit: None,
            trust,
            closing: Closing::No,
            spaced_from: None,
            paced_until: None,
            algorithm,
            last_reason: Reason::Control,
            overhead: overhead_bytes,
            stats: Stats::default(),
            recorder: None,
        }
    }

    /// Whether a packet with this number would be news. Ask before opening it: a number that is no
    /// news needs no cryptography.
    pub fn is_known(&self, number: u64) -> bool {
        self.received.is_known(number)
    }

    /// The largest number that came from the peer: what the next short number is relative to.
    pub fn largest_received(&self) -> Option<u64> {
        self.received.largest()
    }

    /// The largest of our numbers that the peer has acknowledged.
    pub const fn largest_acked(&self) -> Option<u64> {
        self.sent.largest_acked()
    }

    /// A packet came again and was not opened.
    pub const fn note_duplicate(&mut self) {
        self.stats.duplicates += 1;
    }

    /// Takes the content of a packet of the peer, opened, and the codepoint that it came with.
    ///
    /// # Errors
    ///
    /// The peer broke the rules; the session is over.
    pub fn handle_packet(
        &mut self,
        now: Timestamp,
        number: u64,
        codepoint: Codepoint,
        content: &[u8],
    ) -> Result<Handled, Violation> {
        if self.closing != Closing::No {
            return Ok(Handled::Closed);
        }
        if self.received.is_known(number) {
            self.stats.duplicates += 1;
            return Ok(Handled::Duplicate);
        }
        self.received.insert(now, number);
        self.ecn.on_received(codepoint);
        self.stats.packets_received += 1;
        self.stats.bytes_received += content.len() as u64;
        let overhead = self.overhead;
        self.note(|it| it.received(now, number, content, overhead));
        let (mut elicits, mut urgency) = (false, Urgency::Soon);
        for frame in Frames::new(content) {
            let frame = frame?;
            elicits |= !matches!(frame, Frame::Ack(_) | Frame::Congested(_) | Frame::Close);
            match frame {
                Frame::Ping => {}
                Frame::AckNow => urgency = Urgency::Now,
                Frame::Ack(ack) => self.on_ack(now, &ack)?,
                Frame::Stream { stream, offset, data } => {
                    self.incoming.insert(stream, offset, data)?;
                }
                Frame::Credit(bytes) => self.outgoing.allow(bytes),
                Frame::Challenge(bytes) => {
                    self.responses.truncate(RESPONSES_MAX - 1);
                    self.responses.push_front(bytes);
                }
                Frame::Response(bytes) => self.proof = Some(bytes),
                Frame::Close => self.closing = Closing::Closed,
                Frame::Name(bytes) => {
                    if self.name_told_by.is_none_or(|last| number > last) {
                        (self.told_name, self.name_told_by) = (Some(bytes), Some(number));
                    }
                }
                Frame::Congested(packets) => self.on_congested(now, packets),
            }
        }
        if elicits {
            self.received.want_ack(now, number, urgency);
        }
        self.tell_credit();
        self.note_gauges(now);
        Ok(if self.closing == Closing::Closed { Handled::Closed } else { Handled::Taken })
    }

    /// Time has come to what [`Self::poll_timeout`] said.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        if self.sent.loss_due(&self.rtt).is_some_and(|due| due <= now) {
            self.detect_lost(now, &[]);
        }
        if self.probe_due().is_some_and(|due| due <= now) {
            self.probe(now);
        }
        self.note_gauges(now);
    }

    /// Appends bytes to the stream of `key`. They are kept until the peer has them; see
    /// [`Self::has_room`].
    pub fn write(&mut self, key: StreamKey, bytes: &[u8]) {
        let (stream, range) = self.outgoing.write(key, bytes);
        self.note(|it| it.written(stream, range));
    }

    /// Whether more should be written: little is kept for a path that takes little, and less than
    /// [`tuning::UNACKED_BYTES_MAX`] for any.
    pub fn has_room(&self) -> bool {
        let wanted = self.controller.window_bytes() * tuning::UNACKED_WINDOWS;
        let kept_max = wanted.clamp(tuning::UNACKED_BYTES_MIN, tuning::UNACKED_BYTES_MAX);
        (self.outgoing.unacked() as u64) < kept_max
    }

    /// Whether the peer has everything that was written.
    pub const fn is_flushed(&self) -> bool {
        self.outgoing.unacked() == 0
    }

    /// A stream with bytes to read: the one that has had them for longest.
    pub fn readable(&self) -> Option<u8> {
        self.incoming.readable()
    }

    /// What is here of a stream without gap.
    pub fn peek(&mut self, stream: u8) -> &[u8] {
        self.incoming.peek(stream)
    }

    /// Takes bytes off the front of a stream. What is left there is the beginning of something, and
    /// the stream is readable again when more of it came.
    pub fn consume(&mut self, stream: u8, bytes: usize) {
        self.incoming.consume(stream, bytes);
        self.tell_credit();
    }

    /// From now on the peer may use as much memory as its reader lets it.
    pub fn trust(&mut self) {
        self.trust = Trust::Known;
        self.tell_credit();
    }

    /// Ends the session: the next packet tells the peer, and nothing comes after it.
    pub fn close(&mut self) {
        if self.closing == Closing::No {
            self.closing = Closing::Due;
        }
    }

    /// Appends the content of the next packet to `out`; its number, or `None` if nothing may or has
    /// to leave now.
    pub fn poll_packet(&mut self, now: Timestamp, out: &mut Vec<u8>) -> Option<u64> {
        let start = out.len();
        self.note(|it| it.settle(now));
        if self.closing != Closing::No {
            let is_due = self.closing == Closing::Due;
            self.closing = Closing::Closed;
            return is_due.then(|| {
                frame::put(out, &Frame::Close);
                self.finish_packet(now, &out[start..], Reason::Control, None)
            });
        }
        self.paced_until = None;
        let is_ack_due = self.received.due().is_some_and(|due| due <= now);
        let has_something = self.has_something(now);
        if !has_something {
            // Whatever rate is measured now, the path could carry more.
            self.rate.on_app_limited(self.sent.in_flight());
        }
        let may_send = has_something && self.may_send(now);
        if !may_send && !is_ack_due && self.responses.is_empty() {
            return None;
        }
        if self.received.put_ack(now, out)
            && let Some(packets) = self.ecn.tell()
        {
            frame::put(out, &Frame::Congested(packets));
        }
        // As small as an acknowledgement, and as little a matter of the window: a peer that moves with
        // a full one would have to be believed before it can show where it is.
        while let Some(bytes) = self.responses.pop_back() {
            frame::put(out, &Frame::Response(bytes));
        }
        let mut contents = Vec::new();
        let mut reason = Reason::Control;
        if may_send {
            if let Some(size) = self.size_probe() {
                frame::put(out, &Frame::Ping);
                // One byte is for asking for an acknowledgement.
                out.resize(start + size - self.overhead - 1, 0);
                contents.push(Content::Size(size));
            } else {
                reason = self.fill(now, start, out, &mut contents);
            }
        }
        let packet = (!contents.is_empty()).then(|| {
            // Nothing that follows would bring its acknowledgement soon.
            let is_again = !matches!(reason, Reason::Control | Reason::First);
            let is_size = matches!(contents[0], Content::Size(_));
            let asks_now = is_again || is_size || self.sent.packets_in_flight() < THIN_PACKETS_MAX;
            if asks_now {
                frame::put(out, &Frame::AckNow);
            }
            let bytes = (out.len() - start + self.overhead) as u64;
            let snapshot = self.rate.on_sent(now, self.sent.in_flight());
            self.probing.on_sent(now, self.sent.in_flight());
            self.ecn.on_sent();
            self.pacer.spend(bytes, self.sizes.current() as u64);
            SentPacket { sent_at: now, bytes, asks_now, is_probed: false, contents, snapshot }
        });
        if out.len() == start {
            return None;
        }
        self.last_reason = reason;
        let number = self.finish_packet(now, &out[start..], reason, packet);
        self.note_gauges(now);
        Some(number)
    }

    /// Why the packet left that [`Self::poll_packet`] gave last.
    pub const fn last_reason(&self) -> Reason {
        self.last_reason
    }

    /// Appends the content of a packet that asks whoever gets it to send `challenge` back; its number.
    /// It is not sent again when it is lost, and is as short as can be: nobody knows who gets it.
    pub fn put_challenge(&mut self, now: Timestamp, challenge: [u8; 8], out: &mut Vec<u8>) -> u64 {
        let start = out.len();
        frame::put(out, &Frame::Challenge(challenge));
        self.finish_packet(now, &out[start..], Reason::Control, None)
    }

    /// What the peer sent back of a challenge.
    pub const fn take_proof(&mut self) -> Option<[u8; 8]> {
        self.proof.take()
    }

    /// Tells the peer by which name the session is known from now on, and what goes with it.
    pub const fn rename(&mut self, name: [u8; NAME_BYTES]) {
        (self.name, self.is_name_due) = (Some(name), true);
    }

    /// What the peer told of that.
    pub const fn take_name(&mut self) -> Option<[u8; NAME_BYTES]> {
        self.told_name.take()
    }

    /// From now on events are recorded, or not any more.
    pub fn record(&mut self, payloads: Option<Payloads>) {
        self.recorder = payloads.map(|payloads| Box::new(Recorder::new(payloads)));
    }

    /// The events since this was asked last.
    pub fn take_trace(&mut self) -> Vec<trace::Event> {
        self.recorder.as_mut().map_or_else(Vec::new, |recorder| recorder.take())
    }

    /// The peer is somewhere else: round trip, window and sizes begin anew (RFC 9000 §9.4).
    pub fn change_path(&mut self, now: Timestamp) {
        self.rtt = Rtt::new(None);
        self.sizes = Sizes::default();
        self.ecn.change_path();
        let datagram_bytes = self.sizes.current() as u64;
        self.controller = Controller::new(self.algorithm, datagram_bytes);
        self.pacer = Pacer::new(now, datagram_bytes);
    }

    /// Nobody has measured a round trip, and it may be about so long.
    pub fn guess_round_trip(&mut self, guess: Duration) {
        self.rtt.guess(guess);
    }

    /// The codepoint that datagrams with packets of this session carry.
    pub const fn codepoint(&self) -> Codepoint {
        self.ecn.codepoint()
    }

    /// Gives memory back that it does not need now: nothing has happened for a while.
    pub fn rest(&mut self) {
        self.sent.rest();
        self.received.rest();
        self.outgoing.rest();
        self.incoming.rest();
        self.copies.shrink_to_fit();
        self.responses.shrink_to_fit();
    }

    /// When time alone changes something; `None` while only the peer or our reader can.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        if self.closing != Closing::No {
            return None;
        }
        let deadlines = [
            self.received.due(),
            self.sent.loss_due(&self.rtt),
            self.probe_due(),
            self.paced_until,
        ];
        deadlines.into_iter().flatten().min()
    }

    /// Bytes of streams that are kept: written and not acknowledged, received and not read.
    pub fn kept_bytes(&self) -> (usize, usize) {
        (self.outgoing.unacked(), self.incoming.kept())
    }

    /// The round trip.
    pub const fn rtt(&self) -> &Rtt {
        &self.rtt
    }

    /// What was seen so far.
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Bytes that are under way, and that may be.
    pub fn window(&self) -> (u64, u64) {
        (self.sent.in_flight(), self.controller.window_bytes())
    }

    /// Bytes of a datagram, as large as the path is known to carry.
    pub const fn datagram_bytes(&self) -> usize {
        self.sizes.current()
    }

    fn tell_credit(&mut self) {
        if self.trust == Trust::Known
            && let Some(credit) = self.incoming.new_credit()
        {
            self.credit = Some(credit);
        }
    }

    /// What the peer was told of its credit is lost.
    fn tell_credit_again(&mut self) {
        self.credit = self.credit.max(Some(self.incoming.allowed()));
    }

    fn note(&mut self, event: impl FnOnce(&mut Recorder)) {
        if let Some(recorder) = &mut self.recorder {
            event(recorder);
        }
    }

    fn note_gauges(&mut self, now: Timestamp) {
        let Some(recorder) = &mut self.recorder else { return };
        recorder.gauges(
            now,
            Gauges {
                smoothed: self.rtt.smoothed(),
                latest: self.rtt.latest(),
                minimum: self.rtt.minimum(),
                variance: self.rtt.variance(),
                probe_interval: self.rtt.probe_interval(),
                window_bytes: self.controller.window_bytes(),
                in_flight_bytes: self.sent.in_flight(),
            },
        );
    }

    fn finish_packet(
        &mut self,
        now: Timestamp,
        content: &[u8],
        reason: Reason,
        packet: Option<SentPacket>,
    ) -> u64 {
        let number = self.sent.next_number();
        self.sent.push(packet);
        self.stats.packets_sent += 1;
        self.stats.bytes_sent += content.len() as u64;
        let overhead = self.overhead;
        self.note(|it| it.sent(now, number, content, overhead, reason));
        number
    }
}

const _: () = assert!(
    tuning::DATAGRAM_BYTES_MIN > ACK_BYTES_MAX + USEFUL_BYTES_MIN + 64,
    "something of use fits behind the largest acknowledgement"
);
