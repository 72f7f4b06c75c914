//! The hub as a whole, on a store in memory.

mod people;
mod recovery;
mod retention;
mod rooms;
mod sending;
mod telling;
