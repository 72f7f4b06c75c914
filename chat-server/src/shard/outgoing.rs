//! What a shard has for the hub, gathered over one turn and posted with one lock.

use std::mem;

use crate::{
    hub::{Input, SessionId},
    threads::hub::{HubInbox, HubMail},
};

/// One turn's inputs, in the order in which they arrived on each connection.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    inputs: Vec<Input>,
    // Messages since the last input that must not overtake them.
    sends: Vec<u8>,
    items: Vec<(SessionId, std::ops::Range<u32>)>,
    bytes: usize,
}

impl Outgoing {
    /// A message: the encoded body of a `Send`.
    pub(super) fn push_send(&mut self, session: SessionId, body: &[u8]) {
        let start = self.sends.len();
        let end = start + body.len();
        let (Ok(from), Ok(to)) = (u32::try_from(start), u32::try_from(end)) else {
            // A turn reads far less than 4 GiB; a new buffer would be as good.
            self.close_sends();
            return self.push_send(session, body);
        };
        self.sends.extend_from_slice(body);
        self.items.push((session, from..to));
        self.bytes += body.len();
    }

    /// Anything whose order to the messages before it matters.
    pub(super) fn push(&mut self, input: Input) {
        self.close_sends();
        self.inputs.push(input);
    }

    /// Anything that may overtake messages of the same turn: it does not cut their run.
    pub(super) fn push_unordered(&mut self, input: Input) {
        self.inputs.push(input);
    }

    /// Posts everything.
    pub(super) fn post(&mut self, hub: &HubInbox) {
        self.close_sends();
        if !self.inputs.is_empty() {
            let inputs = mem::take(&mut self.inputs);
            hub.post(HubMail::Inputs(inputs, mem::take(&mut self.bytes)));
        }
    }

    fn close_sends(&mut self) {
        if !self.items.is_empty() {
            // The buffers travel with their content; the next turn's begin as large.
            let bytes = Vec::with_capacity(self.sends.len());
            let items = Vec::with_capacity(self.items.len());
            let input = Input::Sends {
                bytes: mem::replace(&mut self.sends, bytes),
                items: mem::replace(&mut self.items, items),
            };
            self.inputs.push(input);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_a_turn_share_a_buffer_until_order_matters() {
        let session = |number| SessionId::new(0, number);
        let mut outgoing = Outgoing::default();
        outgoing.push_send(session(1), b"ab");
        outgoing.push_send(session(2), b"c");
        outgoing.push(Input::Detached { session: session(1) });
        outgoing.push_send(session(2), b"d");
        outgoing.close_sends();
        let shown: Vec<_> = outgoing.inputs.iter().map(|input| format!("{input:?}")).collect();
        assert_eq!(shown.len(), 3);
        assert!(shown[0].contains("0..2") && shown[0].contains("2..3"), "{shown:?}");
        assert!(shown[1].starts_with("Detached"), "{shown:?}");
        assert_eq!(outgoing.bytes, 4);
    }
}
