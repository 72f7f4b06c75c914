//! The initiator's handshake, the same over a stream and over datagrams.

use zeroize::Zeroizing;

use super::{ConnectionError, InitiatorConfig, Misbehaviour};
use crate::{
    channel::{
        established::SealedChannel,
        handshake::{Capabilities, HandshakeError, Hello, Initiator, Peer, Prologue, Route},
    },
    entropy::Entropy,
    offer::{Choice, Offer, Suites},
    transport::{
        TransportKind,
        packet::{AttemptId, HandshakeReply, PacketKind},
    },
};

/// A handshake that was begun and is not answered yet.
pub(super) struct Attempt {
    pub(super) id: AttemptId,
    pub(super) choice: Choice,
    handshake: Initiator,
    offer: Offer,
}

impl Attempt {
    /// Begins a handshake; also Noise message 1.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::UnusableRelayKey`], or [`ConnectionError::Incompatible`] when the
    /// configuration chooses a suite that this build lacks.
    pub(super) fn begin(
        transport: TransportKind,
        config: &InitiatorConfig,
        entropy: &mut Entropy,
    ) -> Result<(Self, Vec<u8>), ConnectionError> {
        let InitiatorConfig { relay_key, device_key, offer, choice } = config;
        let id = AttemptId(entropy.bytes());
        let hello = Hello { versions: offer.versions, capabilities: Capabilities::default() };
        let prologue = prologue(transport, *choice, id);
        let ephemeral = Zeroizing::new(entropy.bytes());
        let (handshake, noise) = Initiator::start(
            &prologue, device_key, relay_key, ephemeral, &hello,
        )
        .map_err(|error| match error {
            HandshakeError::UnknownSuite(suite) => ConnectionError::Incompatible {
                peer: Offer { suites: Suites::new([suite]), ..*offer },
                ours: Offer::of_this_build(),
            },
            HandshakeError::Forged
            | HandshakeError::Malformed
            | HandshakeError::CriticalExtension(_) => ConnectionError::UnusableRelayKey,
        })?;
        Ok((Self { id, choice: *choice, handshake, offer: *offer }, noise))
    }

    /// Ends it with what follows the kind byte of a handshake-reply.
    ///
    /// # Errors
    ///
    /// After [`Misbehaviour::Malformed`], [`Misbehaviour::Unexpected`] and [`Misbehaviour::Forged`],
    /// which anybody can cause where anybody can send, another reply can be tried.
    pub(super) fn finish(
        &mut self,
        rest: &[u8],
    ) -> Result<(SealedChannel, Peer, Option<Route>), ConnectionError> {
        let malformed = Misbehaviour::Malformed(PacketKind::HandshakeReply);
        let reply = HandshakeReply::decode(rest).ok_or(malformed)?;
        if reply.attempt != self.id {
            return Err(Misbehaviour::Unexpected(PacketKind::HandshakeReply).into());
        }
        let finished = self.handshake.finish(reply.noise);
        let (channel, peer, route) = finished.map_err(|error| match error {
            HandshakeError::Forged => Misbehaviour::Forged.into(),
            HandshakeError::Malformed | HandshakeError::UnknownSuite(_) => malformed.into(),
            HandshakeError::CriticalExtension(tag) => ConnectionError::CriticalExtension(tag),
        })?;
        let (used, offered) = (peer.choice, peer.offer);
        if !offered.versions.contains(used.version) || !offered.suites.contains(used.suite) {
            return Err(Misbehaviour::Contradiction.into());
        }
        if self.offer.best_shared_with(&offered) != Some(used) {
            return Err(ConnectionError::Downgraded { used, offered });
        }
        Ok((channel, peer, route))
    }
}

/// What both sides bind into the handshake (wire §4.2).
pub(super) const fn prologue(
    transport: TransportKind,
    choice: Choice,
    attempt: AttemptId,
) -> Prologue {
    Prologue { choice, transport: transport.number(), attempt: attempt.0 }
}
