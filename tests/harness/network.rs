//! Two hosts joined by a cable on which the kernel drops or marks what a test wants it to: what
//! programs meet on a real network, without one.
//!
//! ```text
//!   near 10.77.0.1 ──── wire ──── 10.77.0.2 far
//!        fd77::1                  fd77::2
//! ```
//!
//! It happens on arrival, as a cable does it: a sender whose own kernel drops hears of it.

use std::{
    fmt::{self, Write as _},
    io::{self, Write as _},
    path::Path,
    process::{Output, Stdio},
    sync::Arc,
};

use crate::loopback::Loopback;

/// The far host's addresses.
pub const FAR_V4: &str = "10.77.0.2";
/// The same in the other family.
pub const FAR_V6: &str = "fd77::2";

/// Both hosts. They last as long as it, or the last program in them.
#[derive(Debug)]
pub struct Network {
    near: Arc<Loopback>,
    far: Arc<Loopback>,
}

/// What happens to some, in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Of what.
    pub what: What,
    /// How much, chosen by chance.
    pub percent: u8,
    /// What happens to it.
    pub fate: Fate,
}

/// What happens to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is lost.
    Drop,
    /// It is marked as a busy router does (RFC 3168), if its sender takes part in that.
    Mark,
}

/// Packets of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// All of them.
    All,
    /// Datagrams.
    Udp,
    /// Streams.
    Tcp,
    /// Everything over IPv6.
    V6,
}

impl Rule {
    /// All of it is lost.
    pub const fn block(what: What) -> Self {
        Self { what, percent: 100, fate: Fate::Drop }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.what {
            What::All => "",
            What::Udp => "meta l4proto udp ",
            What::Tcp => "meta l4proto tcp ",
            What::V6 => "meta nfproto ipv6 ",
        })?;
        if self.fate == Fate::Mark {
            f.write_str("ip ecn ect0 ")?;
        }
        if self.percent < 100 {
            write!(f, "numgen random mod 100 < {} ", self.percent)?;
        }
        f.write_str(match self.fate {
            Fate::Drop => "counter drop",
            Fate::Mark => "counter ip ecn set ce",
        })
    }
}

impl Network {
    /// Joins two new hosts by a cable that loses nothing.
    ///
    /// # Errors
    ///
    /// If this system has no such networks, or `ip` or `nft` are not there.
    pub fn new() -> io::Result<Self> {
        let near = Loopback::new()?;
        let far = near.beside()?;
        let peer = far.pid().to_string();
        let join = ["link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", &peer];
        done(&near.command(Path::new("ip")).args(join).output()?)?;
        for (host, number) in [(&near, 1), (&far, 2)] {
            let (v4, v6) = (format!("10.77.0.{number}/24"), format!("fd77::{number}/64"));
            // Datagrams that the sender joined for one system call each meet their own fate.
            let apart = ["link", "set", "wire", "gso_max_segs", "1", "up"];
            let addresses: [&[&str]; 3] = [
                &apart,
                &["address", "add", &v4, "dev", "wire"],
                &["address", "add", &v6, "dev", "wire", "nodad"],
            ];
            for arguments in addresses {
                done(&host.command(Path::new("ip")).args(arguments).output()?)?;
            }
        }
        let network = Self { near: Arc::new(near), far: Arc::new(far) };
        network.impose(&[])?;
        Ok(network)
    }

    /// The host for clients.
    pub fn near(&self) -> Arc<Loopback> {
        Arc::clone(&self.near)
    }

    /// The host for the relay.
    pub fn far(&self) -> Arc<Loopback> {
        Arc::clone(&self.far)
    }

    /// From now on this happens, and nothing else.
    ///
    /// # Errors
    ///
    /// If the kernel does not do it.
    pub fn impose(&self, rules: &[Rule]) -> io::Result<()> {
        // In one transaction: no packet meets half of it.
        let mut table = String::from("table inet cable\ndelete table inet cable\n");
        table += "table inet cable {\nchain arrival { type filter hook input priority mangle;\n";
        for rule in rules {
            writeln!(table, "iifname wire {rule}").map_err(io::Error::other)?;
        }
        table += "}\n}\n";
        for host in [&self.near, &self.far] {
            let mut nft = host.command(Path::new("nft"));
            nft.args(["-f", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped());
            let mut nft = nft.spawn()?;
            nft.stdin.take().expect("it is piped").write_all(table.as_bytes())?;
            done(&nft.wait_with_output()?)?;
        }
        Ok(())
    }

    /// To how many packets the present rules have happened, on their arrival at each host.
    ///
    /// # Errors
    ///
    /// If the kernel does not say.
    pub fn counted(&self) -> io::Result<[u64; 2]> {
        let mut sums = [0; 2];
        for (host, sum) in [&self.near, &self.far].into_iter().zip(&mut sums) {
            let mut nft = host.command(Path::new("nft"));
            let table = done(&nft.args(["list", "table", "inet", "cable"]).output()?)?;
            let words: Vec<_> = table.split_whitespace().collect();
            let counts = words.windows(2).filter(|pair| pair[0] == "packets");
            *sum = counts.filter_map(|pair| pair[1].parse::<u64>().ok()).sum();
        }
        Ok(sums)
    }
}

/// What a program printed, if it did what was asked.
fn done(output: &Output) -> io::Result<String> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_read_as_the_kernel_wants_them() {
        let lossy = Rule { what: What::Udp, percent: 20, fate: Fate::Drop };
        let lossy_rule = "meta l4proto udp numgen random mod 100 < 20 counter drop";
        assert_eq!(lossy.to_string(), lossy_rule);
        let busy = Rule { fate: Fate::Mark, ..lossy };
        let busy_rule =
            "meta l4proto udp ip ecn ect0 numgen random mod 100 < 20 counter ip ecn set ce";
        assert_eq!(busy.to_string(), busy_rule);
        assert_eq!(Rule::block(What::All).to_string(), "counter drop");
        assert_eq!(Rule::block(What::V6).to_string(), "meta nfproto ipv6 counter drop");
    }
}
