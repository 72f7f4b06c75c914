//! Traces of sessions as pcapng (draft-ietf-opsawg-pcapng), for Wireshark and tshark.
//!
//! What is in a file is what a session opened or was about to seal, so a reader sees frames and not
//! ciphertext. Each packet names the dissector that reads it, which the link type
//! `LINKTYPE_WIRESHARK_UPPER_PDU` is for; `protocol/wireshark/chat.lua` is that dissector.
//!
//! ```text
//! opened packet   1 ‖ direction u8 ‖ reason u8 ‖ packet number u64 ‖ datagram bytes u16 ‖ frames (wire §10.3)
//! ```
//!
//! *direction* is 0 towards the relay; *reason* is why it left, 255 where only its sender knows.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use super::qlog::Vantage;
use crate::{
    time::Timestamp,
    transport::datagram::{
        Reason,
        trace::{Event, Packet, What},
    },
};

/// Wireshark's dissector of our packets, in Lua.
pub const DISSECTOR: &str = include_str!("../../wireshark/chat.lua");
/// The part of it that each packet names.
const DISSECTOR_NAME: &[u8] = b"chat.opened";
/// Version of what an opened packet begins with.
const FORMAT: u8 = 1;
const REASON_UNKNOWN: u8 = 255;
/// `LINKTYPE_WIRESHARK_UPPER_PDU` (tcpdump.org/linktypes.html).
const LINK_TYPE: u16 = 252;

mod block {
    pub(super) const SECTION_HEADER: u32 = 0x0a0d_0d0a;
    pub(super) const INTERFACE: u32 = 1;
    pub(super) const PACKET: u32 = 6;
    pub(super) const BYTE_ORDER: u32 = 0x1a2b_3c4d;
}

mod option {
    pub(super) const COMMENT: u16 = 1;
}

/// Tags in front of a packet (Wireshark's `exported_pdu.h`). Numbers there are big endian.
mod tag {
    pub(super) const END: u16 = 0;
    pub(super) const DISSECTOR_NAME: u16 = 12;
    pub(super) const IPV4_SOURCE: u16 = 20;
    pub(super) const IPV4_DESTINATION: u16 = 21;
    pub(super) const IPV6_SOURCE: u16 = 22;
    pub(super) const IPV6_DESTINATION: u16 = 23;
    pub(super) const PORT_TYPE: u16 = 24;
    pub(super) const SOURCE_PORT: u16 = 25;
    pub(super) const DESTINATION_PORT: u16 = 26;
    pub(super) const PORT_TYPE_UDP: u32 = 3;
}

/// A trace that is being written.
#[derive(Debug)]
pub struct Pcapng<W> {
    out: W,
    vantage: Vantage,
    /// Of this side, and of the other.
    addresses: [SocketAddr; 2],
    /// What the time of the session's beginning was, since 1970.
    began: Duration,
}

impl<W: io::Write> Pcapng<W> {
    /// Begins a trace of one side, whose session began so long after 1970.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn new(
        mut out: W,
        vantage: Vantage,
        addresses: [SocketAddr; 2],
        began: Duration,
    ) -> io::Result<Self> {
        let mut header = block::BYTE_ORDER.to_le_bytes().to_vec();
        header.extend(1_u16.to_le_bytes());
        header.extend(0_u16.to_le_bytes());
        // How long the section is, nobody knows yet.
        header.extend(u64::MAX.to_le_bytes());
        put_block(&mut out, block::SECTION_HEADER, &header)?;
        let mut interface = u32::from(LINK_TYPE).to_le_bytes().to_vec();
        // Packets are as long as they are.
        interface.extend(0_u32.to_le_bytes());
        put_block(&mut out, block::INTERFACE, &interface)?;
        Ok(Self { out, vantage, addresses, began })
    }

    /// Appends what happened in the session: packets, and what became of them beside the next one.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn session(&mut self, event: &Event) -> io::Result<()> {
        match &event.what {
            What::Sent { packet, reason } => self.packet(event.at, packet, Some(*reason)),
            What::Received(packet) => self.packet(event.at, packet, None),
            What::Written { .. }
            | What::Acked { .. }
            | What::Lost { .. }
            | What::Gauges(_)
            | What::Missed(_) => Ok(()),
        }
    }

    /// Everything that was written reaches its file.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// What it was written to.
    pub fn into_inner(self) -> W {
        self.out
    }

    fn packet(&mut self, at: Timestamp, packet: &Packet, sent: Option<Reason>) -> io::Result<()> {
        let is_to_relay = (self.vantage == Vantage::Client) == sent.is_some();
        let [here, there] = self.addresses;
        let (from, to) = if sent.is_some() { (here, there) } else { (there, here) };
        let mut data = tags(from, to);
        data.extend([FORMAT, u8::from(!is_to_relay), sent.map_or(REASON_UNKNOWN, code)]);
        data.extend(packet.number.to_be_bytes());
        data.extend(u16::try_from(packet.bytes).unwrap_or(u16::MAX).to_be_bytes());
        data.extend(packet.content());

        let at = self.began + at.since(Timestamp::ZERO);
        let micros = u64::try_from(at.as_micros()).unwrap_or(u64::MAX);
        let length = u32::try_from(data.len()).unwrap_or(u32::MAX).to_le_bytes();
        let time = micros.to_le_bytes();
        let (low, high) = time.split_at(4);
        // Interface 0, time, captured and original length.
        let mut body = Vec::from(0_u32.to_le_bytes());
        body.extend(high);
        body.extend(low);
        body.extend(length);
        body.extend(length);
        body.extend(data);
        pad(&mut body);
        if let Some(reason) = sent.filter(|it| !matches!(it, Reason::Control | Reason::First)) {
            put_option(&mut body, option::COMMENT, in_words(reason).as_bytes());
            body.extend([0; 4]);
        }
        put_block(&mut self.out, block::PACKET, &body)
    }
}

/// A reason as the dissector knows it.
const fn code(reason: Reason) -> u8 {
    match reason {
        Reason::Control => 0,
        Reason::First => 1,
        Reason::Order => 2,
        Reason::Time => 3,
        Reason::Overdue => 4,
        Reason::Copy => 5,
    }
}

const fn in_words(reason: Reason) -> &'static str {
    match reason {
        Reason::Control => "no messages",
        Reason::First => "for the first time",
        Reason::Order => "sent again: packets sent later arrived",
        Reason::Time => "sent again: one sent later arrived, and time went by",
        Reason::Overdue => "sent again: nothing was heard of it for too long",
        Reason::Copy => "one more copy of what was just sent again",
    }
}

/// What stands in front of a packet: who reads it, where it came from and where it went.
fn tags(from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    let mut tags = Vec::new();
    let mut put = |tag: u16, value: &[u8]| {
        let padded = value.len().next_multiple_of(4);
        tags.extend(tag.to_be_bytes());
        tags.extend(u16::try_from(padded).unwrap_or(u16::MAX).to_be_bytes());
        tags.extend(value);
        tags.resize(tags.len() + padded - value.len(), 0);
    };
    put(tag::DISSECTOR_NAME, DISSECTOR_NAME);
    for (address, v4, v6) in [
        (from, tag::IPV4_SOURCE, tag::IPV6_SOURCE),
        (to, tag::IPV4_DESTINATION, tag::IPV6_DESTINATION),
    ] {
        match address.ip().to_canonical() {
            IpAddr::V4(ip) => put(v4, &ip.octets()),
            IpAddr::V6(ip) => put(v6, &ip.octets()),
        }
    }
    put(tag::PORT_TYPE, &tag::PORT_TYPE_UDP.to_be_bytes());
    put(tag::SOURCE_PORT, &u32::from(from.port()).to_be_bytes());
    put(tag::DESTINATION_PORT, &u32::from(to.port()).to_be_bytes());
    put(tag::END, &[]);
    tags
}

fn put_option(body: &mut Vec<u8>, option: u16, value: &[u8]) {
    body.extend(option.to_le_bytes());
    body.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_le_bytes());
    body.extend(value);
    pad(body);
}

fn pad(body: &mut Vec<u8>) {
    body.resize(body.len().next_multiple_of(4), 0);
}

/// A block: its type, its length before and behind, both with themselves.
fn put_block(out: &mut impl io::Write, block: u32, body: &[u8]) -> io::Result<()> {
    let length = u32::try_from(body.len() + 12).unwrap_or(u32::MAX).to_le_bytes();
    out.write_all(&block.to_le_bytes())?;
    out.write_all(&length)?;
    out.write_all(body)?;
    out.write_all(&length)
}
