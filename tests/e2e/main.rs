//! Tests of the real programs.

mod architecture;
mod disk;
mod durability;
mod exactly_once;
mod single;
