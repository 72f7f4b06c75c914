//! The client as a library: the engine and its store, shared by the TUI, the headless commands
//! and bots.

pub mod app;
pub mod choice;
pub mod cli;
pub mod commands;
pub mod config;
pub mod editor;
pub mod engine;
pub mod exit;
pub mod external;
pub mod highlight;
pub mod host;
pub mod linear;
pub mod moment;
pub mod net;
pub mod node;
pub mod output;
pub mod relays;
pub mod report;
pub mod search;
pub mod settings;
pub mod spelling;
pub mod store;
pub mod terminal;
pub mod ui;
pub mod untrusted;
