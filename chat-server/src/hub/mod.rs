//! The hub: decides everything the relay decides.

pub mod log;
pub mod op;
pub mod state;
