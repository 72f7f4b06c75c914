//! Arguments of `lab proxy`.

use std::time::Duration;

use clap::Args;
use protocol::lab::words;

use crate::lab::proxy::Listen;

/// `lab proxy`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct LabProxy {
    /// Where programs reach the proxy: udp:ADDR:PORT or tcp:ADDR:PORT; port 0 takes a free one
    #[arg(long, value_name = "udp:ADDR|tcp:ADDR")]
    pub listen: Listen,
    /// The program behind it: HOST:PORT
    #[arg(long, value_name = "HOST:PORT")]
    pub to: String,
    /// A path that people know: lan, dsl, wifi, wifi-bad, 4g, 3g, edge or satellite
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// A fault in both directions, as 'loss 5%'; again for more
    ///
    /// Faults are delay 20ms, jitter 5ms (up to so much longer; or 5ms normal, exponential, pareto),
    /// loss 5%, loss 5% in bursts of 4, loss packets 3,17, duplicate 1%, corrupt 1%, reorder 10% by
    /// 30ms, rate 2mbit, queue 100kB, mtu 1300 and blackout 3s..5s, counted from the start. TCP takes
    /// delay, jitter, rate, queue and blackout, in which nothing flows: the rest its own repair in
    /// the kernel would hide.
    #[arg(long, value_name = "FAULT")]
    pub fault: Vec<String>,
    /// One on the way back only, in place of what --fault says of it
    #[arg(long, value_name = "FAULT")]
    pub back: Vec<String>,
    /// Decides everything that is left to chance: the n-th datagram of the n-th peer
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Resets all TCP connections so long after the start; again for more
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub cut: Vec<Duration>,
}

const EXAMPLES: &str = "\
Examples:
  chat-client lab proxy --listen udp:127.0.0.1:5353 --to 192.0.2.1:53 --fault 'loss 20%'
  chat-client lab proxy --listen tcp:127.0.0.1:8080 --to example.org:80 --profile dsl --back 'delay 200ms'";

fn time(text: &str) -> Result<Duration, String> {
    words::duration(text).ok_or_else(|| "write a time, as 500ms or 10s".to_owned())
}
