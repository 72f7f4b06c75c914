//! Which of a port's sockets a datagram arrives at: a few instructions for the kernel.
//!
//! ```text
//!   a session's packet  ─▶ socket k       of shard k, as the first byte of the connection id says
//!   anything else       ─▶ socket n + k   of shard k, by a byte of the attempt id
//! ```
//!
//! So a session stays with its shard wherever its client goes, an attempt with the shard that has
//! answered it before, and strangers, however many, fill a buffer that no session's packet waits
//! in: what does not fit there is dropped by the kernel and costs us nothing.

use std::{io, net::UdpSocket};

use nix::{
    libc::{
        BPF_A, BPF_ABS, BPF_ADD, BPF_ALU, BPF_B, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_MOD, BPF_RET,
        sock_filter, sock_fprog,
    },
    sys::socket::{setsockopt, sockopt::AttachReusePortCbpf},
};
use protocol::transport::packet::PacketKind;

/// Where the first byte of a connection id is in a session's packet (wire §10.1).
const CONNECTION_ID_AT: u32 = 1;
/// A byte of the attempt id, in probe and handshake-init alike (wire §3.3, §4.2).
const ATTEMPT_AT: u32 = 4;

/// Has the kernel choose among the sockets of a port: `shards` for sessions, which were bound first,
/// and as many for everybody else.
///
/// # Errors
///
/// If the kernel does not know how.
pub(super) fn steer(socket: &UdpSocket, shards: u32) -> io::Result<()> {
    let mut program = program(shards);
    let length = program.len().try_into().map_err(io::Error::other)?;
    let program = sock_fprog { len: length, filter: program.as_mut_ptr() };
    setsockopt(socket, AttachReusePortCbpf, &program).map_err(io::Error::from)
}

/// A packet that is shorter than what is looked at goes to the first socket: so classic BPF ends.
fn program(shards: u32) -> [sock_filter; 9] {
    let sealed = u32::from(PacketKind::Sealed.byte());
    [
        statement(BPF_LD | BPF_B | BPF_ABS, 0),
        sock_filter { jt: 0, jf: 3, ..statement(BPF_JMP | BPF_JEQ | BPF_K, sealed) },
        statement(BPF_LD | BPF_B | BPF_ABS, CONNECTION_ID_AT),
        statement(BPF_ALU | BPF_MOD | BPF_K, shards),
        statement(BPF_RET | BPF_A, 0),
        statement(BPF_LD | BPF_B | BPF_ABS, ATTEMPT_AT),
        statement(BPF_ALU | BPF_MOD | BPF_K, shards),
        statement(BPF_ALU | BPF_ADD | BPF_K, shards),
        statement(BPF_RET | BPF_A, 0),
    ]
}

fn statement(code: u32, k: u32) -> sock_filter {
    let code = u16::try_from(code).expect("codes of classic BPF have one byte");
    sock_filter { code, jt: 0, jf: 0, k }
}
