//! Tests of the real programs.

mod architecture;
