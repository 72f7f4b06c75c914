//! Any stream, cut in any way, comes apart into the same packets. The first bytes say how to cut.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use protocol::{
    limits::PACKET_BYTES_BEFORE_LOGIN_MAX,
    transport::stream::{PacketCodec, split_packet},
};
use tokio_util::codec::Decoder;

fuzz_target!(|input: &[u8]| {
    let Some((cuts, stream)) = input.split_at_checked(4) else { return };
    assert_eq!(packets_of_pieces(stream, cuts), packets_of_whole(stream));
});

/// The packets up to the first error.
fn packets_of_whole(stream: &[u8]) -> Vec<Vec<u8>> {
    let mut buffer = stream.to_vec();
    let mut rest = &mut buffer[..];
    let mut packets = Vec::new();
    while let Ok(Some((consumed, packet))) = split_packet(rest, PACKET_BYTES_BEFORE_LOGIN_MAX) {
        packets.push(packet.to_vec());
        rest = &mut rest[consumed..];
    }
    packets
}

fn packets_of_pieces(mut stream: &[u8], sizes: &[u8]) -> Vec<Vec<u8>> {
    let mut codec = PacketCodec::before_login();
    let (mut buffer, mut packets) = (BytesMut::new(), Vec::new());
    for size in sizes.iter().cycle() {
        if stream.is_empty() {
            break;
        }
        let (piece, rest) = stream.split_at(usize::from(*size).clamp(1, stream.len()));
        buffer.extend_from_slice(piece);
        stream = rest;
        loop {
            match codec.decode(&mut buffer) {
                Ok(Some(packet)) => packets.push(packet.to_vec()),
                Ok(None) => break,
                Err(_) => return packets,
            }
        }
    }
    packets
}
