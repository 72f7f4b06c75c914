//! The engine against a scripted relay and the store's twin, without a clock.

mod bench;
mod contacts;
mod forks;
mod future;
mod reading;
mod relay;
mod sending;
mod session;
