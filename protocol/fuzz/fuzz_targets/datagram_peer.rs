//! What a peer that is logged in puts into its packets, whenever it likes: authentic, and still
//! anything. Nothing it says makes us panic, loop, keep more than it was allowed, or send without end.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use protocol::{
    time::Timestamp,
    transport::datagram::{
        Algorithm, Codepoint, Handled, StreamKey, Transport, Trust,
        tuning::{CREDIT_BYTES, UNACKED_BYTES_MAX},
    },
};

const OVERHEAD_BYTES: usize = 22;
/// Bytes of one write of ours.
const WRITE_BYTES: usize = 8_192;
/// Packets that we send for one of the peer's: a window of what a whole session may have under way.
const PACKETS_MAX: usize = 2 * UNACKED_BYTES_MAX as usize / 1_000;

/// Steps: how long passes and what happens, a byte; how long the packet is, a byte; the packet.
fuzz_target!(|input: &[u8]| {
    let Some((first, mut steps)) = input.split_first() else { return };
    let algorithm = [Algorithm::Bbr, Algorithm::Cubic, Algorithm::NewReno][usize::from(first % 3)];
    let mut now = Timestamp::from_micros(1_000_000);
    let mut transport = Transport::new(now, algorithm, None, Trust::Known, OVERHEAD_BYTES);
    let mut number = 0;
    while let Some(([what, length], rest)) = steps.split_first_chunk() {
        let (content, rest) = rest.split_at(rest.len().min(usize::from(*length)));
        steps = rest;
        now = now + Duration::from_millis(1 << (what & 0b1111) >> 2);
        if what & 0x10 != 0 && transport.has_room() {
            transport.write(StreamKey::Live([what >> 5; 16]), &[*what; WRITE_BYTES]);
        }
        // Numbers leave gaps, and sometimes come late.
        number = if what & 0x40 != 0 { number + u64::from(what >> 5) } else { number ^ 1 };
        if !transport.is_known(number) {
            let codepoint = Codepoint::from_bits(what >> 6);
            match transport.handle_packet(now, number, codepoint, content) {
                Ok(Handled::Taken | Handled::Duplicate) => {}
                Ok(Handled::Closed) | Err(_) => return,
            }
        }
        if what & 0x80 != 0 {
            read(&mut transport);
        }
        flush(&mut transport, now);
        if transport.poll_timeout().is_some_and(|due| due <= now) {
            transport.handle_timeout(now);
            flush(&mut transport, now);
        }
        let (unacked, unread) = transport.kept_bytes();
        assert!(unacked <= UNACKED_BYTES_MAX as usize + WRITE_BYTES, "{unacked} bytes unacked");
        assert!(unread as u64 <= CREDIT_BYTES, "{unread} bytes that nobody has read");
    }
});

fn read(transport: &mut Transport) {
    while let Some(stream) = transport.readable() {
        let bytes = transport.peek(stream).len();
        assert!(bytes > 0, "what is readable can be read");
        transport.consume(stream, bytes);
    }
}

fn flush(transport: &mut Transport, now: Timestamp) {
    let mut out = Vec::new();
    for _ in 0..PACKETS_MAX {
        out.clear();
        if transport.poll_packet(now, &mut out).is_none() {
            return;
        }
        assert!(out.len() + OVERHEAD_BYTES <= transport.datagram_bytes().max(1_472));
    }
    panic!("it does not stop sending");
}
