//! What the two handshake messages say besides who is speaking (wire §4.3, §4.4).

use super::{Capabilities, HandshakeError};
use crate::{
    octets::{Reader, put_relay_name, put_suites, put_versions},
    offer::{Offer, Versions},
};

/// The payload of message 1. It can be replayed, so it holds nothing that anyone acts on.
#[derive(Clone, Copy, Debug)]
pub struct Hello {
    /// What the initiator could speak, newest first.
    pub versions: Versions,
    /// Its optional abilities.
    pub capabilities: Capabilities,
}

impl Hello {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut payload = Vec::new();
        put_versions(&mut payload, &self.versions);
        payload.extend(self.capabilities.0.to_be_bytes());
        payload
    }

    pub(super) fn decode(payload: &[u8]) -> Result<Self, HandshakeError> {
        let mut reader = Reader::new(payload);
        let mut fields = || {
            let versions = reader.versions()?;
            Some(Self { versions, capabilities: Capabilities(reader.u32()?) })
        };
        let hello = fields().ok_or(HandshakeError::Malformed)?;
        each_extension(reader, |_, _| Ok(()))?;
        Ok(hello)
    }
}

/// The payload of message 2.
#[derive(Clone, Copy, Debug)]
pub struct Welcome<'a> {
    /// All that the relay speaks, so that an initiator notices if it was talked into less.
    pub offer: Offer,
    /// Its optional abilities.
    pub capabilities: Capabilities,
    /// What its operator calls it.
    pub relay_name: &'a str,
    /// Over datagrams: how to reach this session, and how to know that it is gone.
    pub route: Option<Route>,
}

/// What names a session over datagrams, told in the handshake (wire §10.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The connection id.
    pub connection: [u8; 8],
    /// What a reset of it has to hold.
    pub reset_token: [u8; 16],
}

/// The extension that holds a [`Route`]. Even: a peer on a stream has no use for it.
const ROUTE_TAG: u16 = 2;

impl<'a> Welcome<'a> {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut payload = Vec::new();
        put_versions(&mut payload, &self.offer.versions);
        put_suites(&mut payload, &self.offer.suites);
        payload.extend(self.capabilities.0.to_be_bytes());
        put_relay_name(&mut payload, self.relay_name);
        if let Some(route) = &self.route {
            payload.extend(ROUTE_TAG.to_be_bytes());
            payload.extend([0, 24]);
            payload.extend(route.connection);
            payload.extend(route.reset_token);
        }
        payload
    }

    pub(super) fn decode(payload: &'a [u8]) -> Result<Self, HandshakeError> {
        let mut reader = Reader::new(payload);
        let mut fields = || {
            let offer = Offer { versions: reader.versions()?, suites: reader.suites()? };
            let capabilities = Capabilities(reader.u32()?);
            Some(Self { offer, capabilities, relay_name: reader.relay_name()?, route: None })
        };
        let mut welcome = fields().ok_or(HandshakeError::Malformed)?;
        each_extension(reader, |tag, bytes| {
            if tag == ROUTE_TAG {
                let route = Route::decode(bytes).ok_or(HandshakeError::Malformed)?;
                welcome.route = Some(route);
            }
            Ok(())
        })?;
        Ok(welcome)
    }
}

impl Route {
    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let route = Self { connection: reader.array()?, reset_token: reader.array()? };
        reader.is_empty().then_some(route)
    }
}

/// Walks over (tag, length, bytes): even tags that nobody knows are skipped, odd ones refused.
fn each_extension(
    mut reader: Reader<'_>,
    mut handle: impl FnMut(u16, &[u8]) -> Result<(), HandshakeError>,
) -> Result<(), HandshakeError> {
    while !reader.is_empty() {
        let mut pair = || {
            let tag = reader.u16()?;
            let bytes = usize::from(reader.u16()?);
            reader.take(bytes).map(|bytes| (tag, bytes))
        };
        let (tag, bytes) = pair().ok_or(HandshakeError::Malformed)?;
        if tag % 2 == 1 {
            return Err(HandshakeError::CriticalExtension(tag));
        }
        handle(tag, bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offer::Version;

    fn extension(tag: u16) -> Vec<u8> {
        [&tag.to_be_bytes()[..], &[0, 3, 1, 2, 3]].concat()
    }

    #[test]
    fn the_relays_extensions_follow_the_same_rule() {
        let welcome = Welcome {
            offer: Offer::of_this_build(),
            capabilities: Capabilities(1 << 31),
            relay_name: "relay",
            route: Some(Route { connection: [7; 8], reset_token: [8; 16] }),
        };
        let even = [welcome.encode(), extension(4)].concat();
        assert_eq!(Welcome::decode(&even).unwrap().route, welcome.route);
        assert_eq!(Welcome::decode(&even).unwrap().capabilities, Capabilities(1 << 31));
        let odd = [welcome.encode(), extension(3)].concat();
        assert_eq!(Welcome::decode(&odd).unwrap_err(), HandshakeError::CriticalExtension(3));
    }

    #[test]
    fn a_truncated_payload_is_malformed() {
        let versions = Versions::new([Version::V1]);
        let hello = Hello { versions, capabilities: Capabilities(5) }.encode();
        let whole = [&hello[..], &extension(2)].concat();
        for end in (0..whole.len()).filter(|end| *end != hello.len()) {
            let error = Hello::decode(&whole[..end]).unwrap_err();
            assert_eq!(error, HandshakeError::Malformed, "first {end} bytes");
        }
    }
}
