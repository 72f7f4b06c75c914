//! What a peer with a valid key puts into its handshake: authentic, and still anything. The peers
//! here are snow's with its own primitives, so every run also checks that ours work with others'.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use protocol::{
    channel::keys::StaticKey,
    connection::{Connection, InitiatorConfig, ReceivedKind, ResponderConfig},
    entropy::Entropy,
    limits::HANDSHAKE_PAYLOAD_BYTES_MAX,
    offer::{Choice, Suite, Version},
    transport::{
        packet::{AttemptId, HandshakeInit, HandshakeReply},
        stream::{LENGTH_BYTES, put_packet},
    },
};
use snow::{Builder, HandshakeState};

const PATTERN: &str = "Noise_IK_25519_AESGCM_BLAKE2s";
const CHOICE: Choice = Choice { version: Version::V1, suite: Suite::AES_256_GCM };

static RELAY_KEY: LazyLock<Arc<StaticKey>> =
    LazyLock::new(|| Arc::new(StaticKey::from_bytes([7; 32])));
static DEVICE_KEY: LazyLock<Arc<StaticKey>> =
    LazyLock::new(|| Arc::new(StaticKey::from_bytes([8; 32])));

fuzz_target!(|payload: &[u8]| {
    let payload = &payload[..payload.len().min(HANDSHAKE_PAYLOAD_BYTES_MAX + 1)];
    device_says(payload);
    relay_says(payload);
});

fn device_says(payload: &[u8]) {
    let attempt = AttemptId([1; 8]);
    let mut noise = noise(attempt, &DEVICE_KEY, |builder| {
        builder.remote_public_key(RELAY_KEY.public())?.build_initiator()
    });
    let message = write(&mut noise, payload);
    let init = HandshakeInit { choice: CHOICE, attempt, cookie: &[], noise: &message };
    let mut stream = Vec::new();
    put_packet(&mut stream, &init.encode());

    let config = Arc::new(ResponderConfig::new(Arc::clone(&RELAY_KEY), "fuzzed".to_owned()));
    let mut relay = Connection::responder(config, &mut Entropy::seeded_for_simulation(1));
    let answer = relay.receive(&mut stream);
    assert!(payload.len() <= HANDSHAKE_PAYLOAD_BYTES_MAX || answer.is_err());
    let Ok(Some(received)) = answer else { return };
    assert_eq!(received.kind, ReceivedKind::Handshake);
    let reply = relay.poll_transmit().expect("a handshake is answered");
    let reply = HandshakeReply::decode(&reply[LENGTH_BYTES + 1..]).expect("our own layout");
    noise.read_message(reply.noise, &mut [0; 1_024]).expect("snow understands our reply");
    assert_eq!(noise.get_handshake_hash(), relay.peer().expect("established").handshake_hash);
}

fn relay_says(payload: &[u8]) {
    let mut config = InitiatorConfig::new(RELAY_KEY.relay_key(), Arc::clone(&DEVICE_KEY));
    config.choice = CHOICE;
    let mut entropy = Entropy::seeded_for_simulation(2);
    let mut device = Connection::initiator(&config, &mut entropy).expect("usable keys");
    let init = device.poll_transmit().expect("the init");
    let init = HandshakeInit::decode(&init[LENGTH_BYTES + 1..]).expect("our own layout");
    let mut noise = noise(init.attempt, &RELAY_KEY, |builder| builder.build_responder());
    noise.read_message(init.noise, &mut [0; 1_024]).expect("snow understands our init");
    let message = write(&mut noise, payload);
    let mut stream = Vec::new();
    put_packet(&mut stream, &HandshakeReply { attempt: init.attempt, noise: &message }.encode());
    match device.receive(&mut stream) {
        Ok(received) => {
            assert_eq!(received.expect("whole").kind, ReceivedKind::Established);
            let peer = device.peer().expect("established");
            assert!(peer.offer.suites.contains(CHOICE.suite), "a relay lists what it speaks");
        }
        Err(_) => assert!(!device.is_established()),
    }
}

fn noise(
    attempt: AttemptId,
    own: &StaticKey,
    build: impl FnOnce(Builder<'_>) -> Result<HandshakeState, snow::Error>,
) -> HandshakeState {
    let private = own.to_bytes();
    let prologue = [&[0, 1, CHOICE.suite.0, 1][..], &attempt.0].concat();
    let builder = Builder::new(PATTERN.parse().expect("a Noise name"));
    builder
        .prologue(&prologue)
        .and_then(|builder| builder.local_private_key(&*private))
        .and_then(build)
        .expect("all keys are there")
}

fn write(noise: &mut HandshakeState, payload: &[u8]) -> Vec<u8> {
    let mut message = vec![0; 1_024];
    let bytes = noise.write_message(payload, &mut message).expect("room for any payload");
    message.truncate(bytes);
    message
}
