//! The client as a library: the engine and its store, shared by the TUI, the headless commands
//! and bots.

pub mod app;
pub mod engine;
pub mod exit;
pub mod store;
pub mod terminal;
pub mod ui;
pub mod untrusted;
