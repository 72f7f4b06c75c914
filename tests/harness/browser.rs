//! A page in a real browser that has no screen: what it became, what the browser complained of, and
//! what it asked the network for.

use std::{
    io,
    path::Path,
    process::{Command, Output},
};

use serde::Deserialize;

use crate::loopback::Loopback;

/// Names under which systems have it.
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
/// A browser that takes longer than this to show a page hangs.
const SECONDS_MAX: &str = "120";
/// Without a screen, and without the requests a browser makes for itself. Its own sandbox wants
/// privileges that a container does not give; the page is ours.
const ARGUMENTS: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--dump-dom",
];

/// What a page became once its scripts had run.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Its elements, written as HTML.
    pub dom: String,
    /// What the browser wrote on its console: errors, and what the page's policy forbade.
    pub complaints: Vec<String>,
    /// Addresses that the page wanted to load something from.
    pub requests: Vec<String>,
}

/// Opens a page in a browser of its own, in a network that leads nowhere.
///
/// # Errors
///
/// If there is no browser, or it did not show the page.
pub fn show(page: &Path) -> io::Result<Shown> {
    let profile = tempfile::tempdir()?;
    let network_log = profile.path().join("network.json");
    let argument = |name: &str, path: &Path| format!("--{name}={}", path.display());
    let output = Loopback::new()?
        .command(Path::new("timeout"))
        .args([SECONDS_MAX, browser()?])
        .args(ARGUMENTS)
        .arg(argument("user-data-dir", profile.path()))
        .arg(argument("log-net-log", &network_log))
        .arg(format!("file://{}", page.display()))
        .output()?;
    let Output { status, stdout, stderr } = output;
    let complaints = String::from_utf8_lossy(&stderr);
    if !status.success() {
        return Err(io::Error::other(format!("the browser failed ({status}):\n{complaints}")));
    }
    let console = complaints.lines().filter(|line| line.contains(":CONSOLE:"));
    Ok(Shown {
        dom: String::from_utf8_lossy(&stdout).into_owned(),
        complaints: console.map(str::to_owned).collect(),
        requests: requests(&std::fs::read(network_log)?)?,
    })
}

fn browser() -> io::Result<&'static str> {
    let is_there = |name: &&str| Command::new(name).arg("--version").output().is_ok();
    NAMES.into_iter().find(is_there).ok_or_else(|| {
        io::Error::new(io::ErrorKind::NotFound, "no Chromium here; `apt-get install chromium`")
    })
}

/// A log of the browser's network, as far as we look at it.
#[derive(Deserialize)]
struct NetworkLog {
    events: Vec<NetworkEvent>,
}

#[derive(Deserialize)]
struct NetworkEvent {
    #[serde(default)]
    params: NetworkParams,
}

#[derive(Default, Deserialize)]
struct NetworkParams {
    url: Option<String>,
    /// On whose behalf; a page in a file is `file://`, the browser itself is `null` or a site.
    network_isolation_key: Option<String>,
}

fn requests(log: &[u8]) -> io::Result<Vec<String>> {
    let log: NetworkLog = serde_json::from_slice(log)?;
    let of_page = |NetworkEvent { params }: NetworkEvent| {
        params
            .url
            .filter(|_| params.network_isolation_key.is_some_and(|it| it.starts_with("file://")))
    };
    Ok(log.events.into_iter().filter_map(of_page).collect())
}
