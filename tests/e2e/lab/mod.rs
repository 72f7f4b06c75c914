//! The laboratory, as people use it.

mod report;
mod traces;
