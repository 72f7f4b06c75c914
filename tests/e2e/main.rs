//! Tests of the real programs.

mod architecture;
mod exactly_once;
