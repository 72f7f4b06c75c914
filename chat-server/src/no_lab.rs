//! What a build without the feature `lab` has of the laboratory: no flags, and settings and paths of
//! which there are no values. `None` is all that an option of them can be; their methods are never
//! called, and the compiler leaves them out.

use std::{fmt, net::SocketAddr};

use clap::Args;
use protocol::{lab::experiment::Way, time::Timestamp, transport::datagram::Codepoint};

use crate::net::udp::Route;

/// No flags.
#[derive(Clone, Debug, Default, Args)]
pub struct LabFlags {}

impl LabFlags {
    /// Nothing.
    pub const fn settings(&self) -> Option<LabSettings> {
        None
    }
}

/// What nobody can ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LabSettings {}

impl LabSettings {
    pub(crate) const fn banner(&self, _: &[SocketAddr]) -> String {
        match *self {}
    }

    pub(crate) const fn mark(&self, _: &str) -> String {
        match *self {}
    }
}

impl fmt::Display for LabSettings {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

/// No path.
#[derive(Clone, Debug)]
pub(crate) enum Paths {}

/// No datagram.
pub(crate) struct Held {
    pub(crate) route: Route,
    pub(crate) codepoint: Codepoint,
    pub(crate) bytes: Vec<u8>,
}

impl Paths {
    pub(crate) const fn new(settings: &LabSettings) -> Self {
        match *settings {}
    }

    pub(crate) const fn takes(
        &mut self,
        _: Timestamp,
        _: Way,
        _: (Route, Codepoint),
        _: &[u8],
    ) -> bool {
        match *self {}
    }

    pub(crate) const fn poll(&mut self, _: Timestamp, _: Way) -> Option<Held> {
        match *self {}
    }

    pub(crate) const fn poll_timeout(&self) -> Option<Timestamp> {
        match *self {}
    }

    pub(crate) const fn losses(&self, _: Way) -> (u64, u64) {
        match *self {}
    }
}
