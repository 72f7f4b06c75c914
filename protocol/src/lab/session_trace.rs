//! A session's trace in both formats, side by side.

use std::{io, net::SocketAddr, time::Duration};

use super::{
    pcapng::Pcapng,
    qlog::{Qlog, Vantage},
};
use crate::transport::datagram::trace::Event;

/// What the names of the two files end in.
pub const EXTENSIONS: [&str; 2] = ["sqlog", "pcapng"];

/// A trace that is being written.
#[derive(Debug)]
pub struct SessionTrace<W> {
    qlog: Qlog<W>,
    pcapng: Pcapng<W>,
}

impl<W: io::Write> SessionTrace<W> {
    /// Begins a trace into outputs for each of [`EXTENSIONS`]: what one side sees between its own
    /// address and the other's. Its time counts from so long after 1970.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn new(
        [qlog, pcapng]: [W; 2],
        vantage: Vantage,
        addresses: [SocketAddr; 2],
        began: Duration,
    ) -> io::Result<Self> {
        let [here, there] = addresses;
        Ok(Self {
            qlog: Qlog::new(qlog, &format!("{here} with {there}"), vantage)?,
            pcapng: Pcapng::new(pcapng, vantage, addresses, began)?,
        })
    }

    /// Appends what happened.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn write(&mut self, events: &[Event]) -> io::Result<()> {
        events.iter().try_for_each(|event| {
            self.qlog.session(event)?;
            self.pcapng.session(event)
        })
    }

    /// Everything that was written reaches its files.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.qlog.flush()?;
        self.pcapng.flush()
    }
}
