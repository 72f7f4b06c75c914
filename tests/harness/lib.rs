//! What tests of the whole have in common: real processes, a lean client, what they use.
//!
//! ```text
//!   process    the relay as a child process        client     speaks the protocol, keeps nothing
//!   usage      processor time and memory           identity   a device with fresh keys
//!   proxy      keeps an address, cuts connections   strace     order of system calls, power cuts
//!   pty        a program in a terminal              screen     what a person sees there
//!   loopback   a network of its own                 keys       what a person types
//!   lines      what a child prints                chat       the real client as a child process
//!   machine    people in front of terminals     path       loses datagrams on their way
//!   network    two hosts and a bad cable        browser    a page in a browser without a screen
//! ```

pub mod browser;
pub mod chat;
pub mod client;
pub mod identity;
pub mod keys;
pub mod lines;
pub mod loopback;
pub mod machine;
pub mod network;
pub mod path;
pub mod process;
pub mod proxy;
pub mod pty;
pub mod screen;
pub mod strace;
pub mod usage;
