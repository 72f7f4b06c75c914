//! Mistakes planted at the seams between the parts, to see that the reference model finds them: a
//! check that nothing fails proves nothing.

macro_rules! bugs {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A mistake that a correct system must not make.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Bug {
            $($(#[$doc])* $name,)*
        }

        impl Bug {
            /// All of them.
            pub(crate) const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

bugs! {
    /// The relay answers before its commit is durable.
    AckBeforeDurable,
    /// The relay takes a commit of unknown outcome for done.
    AmbiguousTakenForDone,
    /// The relay forgets at a restart which messages it has decided.
    DedupeForgotten,
    /// The relay's session loses one message and passes on the next.
    SendDropped,
    /// The relay names another place than the message has.
    AcceptedElsewhere,
    /// A refusal for now is taken for a final one.
    RefusalTakenForFinal,
    /// The client transmits before its outbox is durable.
    OutboxNotDurable,
    /// The client forgets at a restart which numbers it has used. A welcome repairs that, unless the
    /// relay was restored from a copy that does not know them either.
    CounterForgotten,
    /// The client sends two messages in the wrong order.
    SendsSwapped,
    /// The client encodes a message anew for a retry.
    BytesChangedOnRetry,
    /// The client says that it has records which its disk lost.
    RecordsNotDurable,
    /// The client says that messages are settled which are not.
    FloorTooHigh,
}
