//! What strangers send: no bytes bring anybody to panic, or through a handshake without its keys.
#![no_main]

use std::{
    cell::RefCell,
    sync::{Arc, LazyLock},
};

use libfuzzer_sys::fuzz_target;
use protocol::{
    channel::keys::StaticKey,
    connection::{Connection, InitiatorConfig, ReceivedKind, ResponderConfig},
    entropy::Entropy,
};

static RELAY: LazyLock<Arc<ResponderConfig>> = LazyLock::new(|| {
    let static_key = Arc::new(StaticKey::from_bytes([7; 32]));
    Arc::new(ResponderConfig::new(static_key, "fuzzed".to_owned()))
});

static DEVICE: LazyLock<InitiatorConfig> = LazyLock::new(|| {
    InitiatorConfig::new(RELAY.static_key.relay_key(), Arc::new(StaticKey::from_bytes([8; 32])))
});

thread_local! {
    static ENTROPY: RefCell<Entropy> = RefCell::new(Entropy::seeded_for_simulation(1));
}

fuzz_target!(|stream: &[u8]| {
    let mut relay =
        ENTROPY.with_borrow_mut(|entropy| Connection::responder(Arc::clone(&RELAY), entropy));
    feed(&mut relay, stream);
    assert!(!relay.is_established(), "nobody guesses the proof that it knows this relay's key");

    let mut device = ENTROPY
        .with_borrow_mut(|entropy| Connection::initiator(&DEVICE, entropy))
        .expect("both keys are usable");
    feed(&mut device, stream);
    assert!(!device.is_established(), "nobody guesses the proof that it is the relay");

    feed(&mut ENTROPY.with_borrow_mut(Connection::prober), stream);
});

fn feed(connection: &mut Connection, stream: &[u8]) {
    let mut buffer = stream.to_vec();
    let mut start = 0;
    while let Ok(Some(received)) = connection.receive(&mut buffer[start..]) {
        assert!(!matches!(received.kind, ReceivedKind::Content(_)), "nothing can open");
        start += received.consumed;
        connection.poll_transmit();
    }
    // What an error leaves behind is a beacon or nothing.
    connection.poll_transmit();
}
