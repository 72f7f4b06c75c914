//! Any datagrams from anywhere, at a relay and at a device in its attempt: nobody gets more back than
//! they brought, little is kept of them, and the device's own handshake still ends well.
#![no_main]

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, LazyLock},
    time::Duration,
};

use libfuzzer_sys::fuzz_target;
use protocol::{
    channel::keys::StaticKey,
    connection::{
        InitiatorConfig, ResponderConfig,
        datagram::{Client, Endpoint, EndpointConfig},
    },
    entropy::Entropy,
    time::Timestamp,
    transport::datagram::{Codepoint, tuning::DATAGRAM_BYTES_MIN},
};

static RELAY: LazyLock<Arc<ResponderConfig>> = LazyLock::new(|| {
    let static_key = Arc::new(StaticKey::from_bytes([7; 32]));
    Arc::new(ResponderConfig::new(static_key, "fuzzed".to_owned()))
});
static DEVICE: LazyLock<InitiatorConfig> = LazyLock::new(|| {
    let device_key = Arc::new(StaticKey::from_bytes([8; 32]));
    InitiatorConfig::new(StaticKey::from_bytes([7; 32]).relay_key(), device_key)
});

fn at(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Datagrams: from where, a byte; whether it is padded, in that byte; how long, a byte; the bytes.
fuzz_target!(|input: &[u8]| {
    let now = Timestamp::from_micros(5_000_000);
    let config = EndpointConfig { responder: Arc::clone(&RELAY), shard: 0 };
    let mut relay = Endpoint::new(config, Entropy::seeded_for_simulation(1));
    let mut device =
        Client::new(now, &DEVICE, &mut Entropy::seeded_for_simulation(2)).expect("a usable key");
    let mut rest = input;
    while let Some(([from, length], following)) = rest.split_first_chunk() {
        let (bytes, following) = following.split_at(following.len().min(usize::from(*length)));
        rest = following;
        let mut datagram = bytes.to_vec();
        if from & 1 == 1 {
            datagram.resize(DATAGRAM_BYTES_MIN, 0);
        }
        let brought = datagram.len();
        device
            .handle_datagram(now, Codepoint::NotCapable, &mut datagram.clone())
            .expect("nobody but the relay can end an attempt");
        let touched = relay.handle_datagram(
            now,
            at(u16::from(*from) + 1),
            Codepoint::NotCapable,
            &mut datagram,
        );
        assert_eq!(touched, None, "nobody here has a session");
        relay.answer_handshakes(now, 1);
        let sent: usize = std::iter::from_fn(|| relay.poll_packet()).map(|(_, it)| it.len()).sum();
        assert!(sent <= brought, "{sent} bytes for {brought}");
    }
    assert!(device.session().is_none() && relay.is_empty());
    login(&mut relay, &mut device, now);
});

fn login(relay: &mut Endpoint<SocketAddr>, device: &mut Client, mut now: Timestamp) {
    for _ in 0..20 {
        let mut packet = Vec::new();
        while device.poll_packet(now, &mut packet) {
            relay.handle_datagram(now, at(9), Codepoint::NotCapable, &mut packet);
            packet.clear();
        }
        relay.answer_handshakes(now, 100);
        while let Some((to, mut packet)) = relay.poll_packet() {
            if to == at(9) {
                device.handle_datagram(now, Codepoint::NotCapable, &mut packet).expect("honest");
            }
        }
        if device.session().is_some() {
            return;
        }
        now = now + Duration::from_millis(500);
    }
    panic!("the device cannot log in any more");
}
