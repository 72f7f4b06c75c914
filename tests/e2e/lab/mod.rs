//! The laboratory with the real programs.

mod report;
