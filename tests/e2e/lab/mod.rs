//! The laboratory, as people use it.

mod proxy;
mod report;
mod traces;
