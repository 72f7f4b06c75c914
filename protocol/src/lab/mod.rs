//! Bad paths, made to order: what the simulator runs on, and what people provoke and watch.
//!
//! ```text
//!   fault       what a path does to datagrams, and the fate of each     words     how people write it
//!   order       faults of a running client or relay                     jitter    how their times vary
//!   network     datagrams in virtual time
//!   strategy    ways to live with that: the textbook's, TCP's, KCP's, ours
//!   experiment  one of them on a path, and everything that happens      theory    what to expect
//!   stage       while it goes on                                        remote    receivers elsewhere
//!   scenario    an experiment with its strategies                       expect    what is expected of it
//!   sweep       the textbook's strategies, measured beside it
//!   qlog        what happened, for qvis                                 pcapng    and for Wireshark
//! ```
//!
//! One seed decides everything: integer arithmetic only, a generator of our own
//! ([`SimRng`](crate::entropy::SimRng)).

pub mod expect;
pub mod experiment;
pub mod fault;
pub mod jitter;
pub mod network;
pub mod order;
pub mod pcapng;
pub mod qlog;
pub mod remote;
pub mod scenario;
pub mod session_trace;
pub mod stage;
pub mod strategy;
pub mod sweep;
pub mod theory;
pub mod words;
