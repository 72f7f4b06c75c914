//! Bad paths, made to order: what the simulator runs on, and what people provoke and watch.
//!
//! [`fault`] says what a path does to datagrams and decides the fate of each; [`network`] carries
//! them in virtual time. [`strategy`] has ways to live with that, [`experiment`] runs them, and
//! [`theory`] says what to expect. One seed decides everything: integer arithmetic only, a generator
//! of our own ([`SimRng`](crate::entropy::SimRng)).

pub mod experiment;
pub mod fault;
pub mod network;
pub mod strategy;
pub mod theory;
