//! One process of a home owns its engine; everybody else of that home goes through it.
//!
//! ```text
//!   Node::open ──lock taken──▶ Owner   runs engine, store, connection; serves run.sock
//!              └──lock held──▶ guest   JSON lines over run.sock
//! ```
//!
//! Both give the same [`Handle`]; a front end cannot tell them apart and should not try.

pub mod call;

mod clock;
mod disk;
mod encoded;
mod guest;
mod handle;
mod line_codec;
mod open;
mod owner;
mod record;
mod relay;
mod server;
mod shown;
mod subscribers;
mod view;

pub use self::{
    handle::{Caller, Handle, Started},
    open::{Events, Node},
    owner::NameOrigin,
};

/// Most records in one page: what the largest of them take still fits one line of `run.sock`.
pub const PAGE_RECORDS_MAX: usize = 256;
