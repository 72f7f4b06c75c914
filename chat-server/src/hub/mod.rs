//! The hub: decides everything the relay decides.

pub mod op;
pub mod state;
