//! Why a connection ends, and who has to act.

use super::datagram::SessionError;
use crate::{
    channel::established::ChannelError,
    offer::{Choice, Offer},
    transport::{
        packet::{Beacon, PacketKind},
        stream::FramingError,
    },
};

/// Why a connection cannot go on, by who has to act.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionError {
    /// The peer broke the protocol, or somebody altered its bytes: close, count it against its
    /// address, do not retry at once.
    #[error("peer misbehaved: {0}")]
    Misbehaved(#[from] Misbehaviour),
    /// Both sides are correct and share no version or suite: retrying cannot help.
    #[error("nothing in common: peer offers {peer}, this build speaks {ours}")]
    Incompatible {
        /// What the peer asked for or announced.
        peer: Offer,
        /// What we speak.
        ours: Offer,
    },
    /// The peer requires an extension that this build does not know: upgrade.
    #[error("peer requires unknown extension {0}")]
    CriticalExtension(u16),
    /// The relay could do better than this attempt: somebody talked us into less with a forged
    /// beacon. Try again without it.
    #[error("downgraded: used {used}, the relay offers {offered}")]
    Downgraded {
        /// What this attempt spoke.
        used: Choice,
        /// What the relay speaks, authenticated.
        offered: Offer,
    },
    /// Responder: the handshake is not for our key. The initiator was told who we are.
    #[error("handshake is not for this relay's key")]
    NotForUs,
    /// Initiator: instead of the relay, something answered that cannot prove to be it. What it
    /// says is a hint where another key, version or suite may be; it is never the truth.
    #[error("the relay did not answer; something announced key {} there", .beacon.relay_key.fingerprint())]
    Unanswered {
        /// The announcement.
        beacon: Beacon,
    },
    /// Initiator: the key to reach is one of the few points that are nobody's key.
    #[error("relay key is not a usable key")]
    UnusableRelayKey,
    /// Ours: more content than a packet may have here. Nothing was sealed; the connection lives.
    #[error("content of {bytes} bytes where a packet holds at most {max}")]
    ContentTooLarge {
        /// What was to be sealed.
        bytes: usize,
        /// What a packet may hold.
        max: usize,
    },
    /// Ours: sealing before the handshake or after an error.
    #[error("connection is not established")]
    NotEstablished,
    /// The relay does not know this session any more: it was started again, or gave it up.
    #[error("the relay does not know this session any more")]
    Reset,
    /// Two to the power of 64 packets went by: connect anew.
    #[error("packet numbers are used up")]
    Exhausted,
    /// Ours: receiving after an error or after the answer to a probe.
    #[error("connection is closed")]
    Closed,
}

/// How a peer broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misbehaviour {
    /// The stream cannot be cut into packets.
    #[error(transparent)]
    Framing(#[from] FramingError),
    /// The first byte means nothing.
    #[error("unknown packet kind {0}")]
    UnknownKind(u8),
    /// A packet that does not belong here.
    #[error("unexpected packet {0:?}")]
    Unexpected(PacketKind),
    /// A packet that is not laid out as its kind says.
    #[error("malformed packet {0:?}")]
    Malformed(PacketKind),
    /// A sealed packet or reply that does not open. On purpose there is no more to know.
    #[error("packet failed to open")]
    Forged,
    /// A sealed packet without content.
    #[error("sealed packet without content")]
    EmptyContent,
    /// Over datagrams: an authentic packet that breaks the rules.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// More probes than [`PROBES_PER_CONNECTION_MAX`](super::PROBES_PER_CONNECTION_MAX).
    #[error("too many probes")]
    ProbedAgain,
    /// A relay whose sealed reply does not list what it speaks in that very reply.
    #[error("relay contradicts itself")]
    Contradiction,
}

impl From<ChannelError> for ConnectionError {
    fn from(error: ChannelError) -> Self {
        match error {
            ChannelError::Forged => Misbehaviour::Forged.into(),
            ChannelError::Exhausted => Self::Exhausted,
        }
    }
}
