//! Tests of the real programs.

mod architecture;
mod datagrams;
mod disk;
mod durability;
mod exactly_once;
mod first_minute;
mod future;
mod hostile;
mod lab;
mod linear;
mod lossy;
mod restore;
mod single;
mod terminal;
