//! What a session sends: any content is a run of messages or an error, and what we understood says
//! the same again when we say it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::message::{ClientMessage, MessageReader, RelayMessage};

fuzz_target!(|content: &[u8]| {
    for bytes in MessageReader::new(content).map_while(Result::ok) {
        if let Ok(message) = ClientMessage::decode(bytes) {
            let mut again = Vec::new();
            message.append_to(&mut again);
            assert_eq!(ClientMessage::decode(only(&again)).as_ref(), Ok(&message));
        }
        if let Ok(message) = RelayMessage::decode(bytes) {
            let mut again = Vec::new();
            message.append_to(&mut again);
            assert_eq!(RelayMessage::decode(only(&again)).as_ref(), Ok(&message));
        }
    }
});

fn only(content: &[u8]) -> &[u8] {
    let mut reader = MessageReader::new(content);
    let message = reader.next().expect("one message").expect("our own length");
    assert!(reader.next().is_none());
    message
}
