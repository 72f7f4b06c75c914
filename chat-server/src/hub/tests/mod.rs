//! The hub as a whole, on a store in memory.

mod people;
mod recovery;
mod rooms;
mod sending;
mod telling;
