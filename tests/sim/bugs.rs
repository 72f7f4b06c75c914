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
    /// The relay's driver never tells a session over datagrams that its time has come.
    RelayTimeoutIgnored,
    /// The client's driver never does.
    ClientTimeoutIgnored,
    /// The relay's driver takes what one session read for another's.
    ReadByAnother,
    /// The client's driver gives the engine what a datagram brought twice.
    ReadTwice,
    /// The relay's driver takes messages off a session and loses some.
    ReadLost,
    /// The relay's driver gives the hub what it read last first.
    ReadReversed,
    /// The relay's driver sends to where a session's last datagram came from, whoever sent it.
    AddressTrusted,
    /// The client believes whoever says that the relay has forgotten it.
    ResetBelieved,
    /// The relay ends a session because of a datagram that does not open.
    ForgeryBelieved,
    /// The relay forgets sessions and never says so.
    ResetNotSent,
    /// The relay's driver ends connections and keeps their sessions.
    SessionKept,
    /// The relay's driver never lets a device that has attached use more memory than a stranger.
    TrustForgotten,
}
