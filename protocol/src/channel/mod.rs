//! Who is speaking, and that nobody else listens or interferes.
//!
//! ```text
//!   keys         a device's and a relay's long-lived keys
//!   handshake    Noise IK: two messages, then both sides know each other
//!   established  AEAD on every packet, keys that are replaced as packets pass
//!   numbered     the same for packets that are lost and overtake one another
//! ```
//!
//! This layer sees byte slices only: which packet they came in and what the content means is
//! decided in [`crate::connection`].

pub mod established;
pub mod handshake;
pub mod keys;
pub mod numbered;
