//! Tests of the real programs.

mod architecture;
mod durability;
mod exactly_once;
