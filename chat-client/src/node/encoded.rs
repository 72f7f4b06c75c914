//! serde for values that have a wire encoding and nothing else: as hexadecimal text of it.

use data_encoding::HEXLOWER;
use protocol::message::{MessageReader, encoding::DecodeError};
use serde::{Deserialize, Deserializer};

/// For `Body`.
pub(super) mod body {
    use protocol::message::event::Body;
    use serde::{Deserializer, Serializer, de::Error as _};

    pub(crate) fn serialize<S: Serializer>(body: &Body, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::HEXLOWER.encode(&body.encode()))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Body, D::Error> {
        Body::decode(&super::bytes(from)?).map_err(D::Error::custom)
    }
}

/// For `Request`, as the message that carries it, with request id 0.
pub(super) mod request {
    use protocol::message::{ClientMessage, request::Request};
    use serde::{Deserializer, Serializer, de::Error as _};

    pub(crate) fn serialize<S: Serializer>(request: &Request, to: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::new();
        ClientMessage::Request(0, request.clone()).append_to(&mut bytes);
        to.serialize_str(&super::HEXLOWER.encode(&bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Request, D::Error> {
        let bytes = super::bytes(from)?;
        let message = super::only_message(&bytes).map_err(D::Error::custom)?;
        match ClientMessage::decode(message) {
            Ok(ClientMessage::Request(_, request)) => Ok(request),
            Ok(_) | Err(_) => Err(D::Error::custom("not a request")),
        }
    }
}

/// For `Reply`, likewise.
pub(super) mod reply {
    use protocol::message::{RelayMessage, request::Reply};
    use serde::{Deserializer, Serializer, de::Error as _};

    pub(crate) fn serialize<S: Serializer>(reply: &Reply, to: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::new();
        RelayMessage::Reply(0, Ok(reply.clone())).append_to(&mut bytes);
        to.serialize_str(&super::HEXLOWER.encode(&bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Reply, D::Error> {
        let bytes = super::bytes(from)?;
        let message = super::only_message(&bytes).map_err(D::Error::custom)?;
        match RelayMessage::decode(message) {
            Ok(RelayMessage::Reply(_, Ok(reply))) => Ok(reply),
            Ok(_) | Err(_) => Err(D::Error::custom("not a reply")),
        }
    }
}

fn bytes<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(from)?;
    HEXLOWER.decode(text.as_bytes()).map_err(serde::de::Error::custom)
}

fn only_message(bytes: &[u8]) -> Result<&[u8], DecodeError> {
    MessageReader::new(bytes).next().ok_or(DecodeError)?
}
