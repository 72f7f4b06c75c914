//! `lab proxy`: a screen with keys in a terminal, lines elsewhere.

use std::{
    io::{self, IsTerminal as _},
    net::SocketAddr,
    time::Duration,
};

use crossterm::event::Event;
use protocol::lab::words::BadFault;
use serde::Serialize;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until};

use super::{super::json::JSON_VERSION, resolve};
use crate::{
    cli::LabProxy,
    lab::proxy::{
        Counters, Proxy, Settings, Totals,
        screen::{self, Action, View},
    },
    net::Carrier,
    output::{Output, Style},
    report::Failure,
    terminal::{EndSignals, Screen, input::Heard},
};

/// Between two frames.
const FRAME_INTERVAL: Duration = Duration::from_millis(200);
/// Between two lines of JSON.
const LINE_INTERVAL: Duration = Duration::from_secs(1);

pub(super) async fn run(asked: &LabProxy, output: &mut Output) -> Result<(), Failure> {
    let settings = settings(asked)?;
    let to = resolve("--to", &asked.to).await?;
    let listening = |error| Failure::io(format!("cannot listen on {}", asked.listen), error);
    let mut signals = EndSignals::catch().map_err(listening)?;
    let proxy = Proxy::start(asked.listen, to, asked.seed, settings).await.map_err(listening)?;
    if proxy.listen().address == to {
        return Err(Failure::Usage(format!("--to {to} is the proxy itself: it would never end")));
    }
    let mut cuts = Cuts::new(proxy.began(), &asked.cut);
    let is_shown = output.style() == Style::Plain && io::stdout().is_terminal();
    let ended = if is_shown {
        let front = Front { asked, proxy: &proxy };
        front.show(&mut signals, &mut cuts).await
    } else {
        watch(asked, &proxy, &mut signals, &mut cuts, output).await
    };
    // Printed whatever has ended it: this is the result.
    match output.style() {
        Style::Plain => summary(&proxy.totals(), asked.listen.carrier, output)?,
        Style::Json => print_totals("summary", &proxy, output)?,
    }
    ended
}

fn settings(asked: &LabProxy) -> Result<Settings, Failure> {
    let wrong = |error: BadFault| Failure::Usage(error.to_string());
    let settings =
        Settings::new(asked.profile.as_deref(), &asked.fault, &asked.back).map_err(wrong)?;
    match asked.listen.carrier {
        Carrier::Tcp => {
            settings.check_tcp().map_err(|error| Failure::Usage(error.to_string()))?;
        }
        Carrier::Udp if !asked.cut.is_empty() => {
            let why = "--cut resets connections, and UDP has none: use --fault 'blackout 3s..5s'";
            return Err(Failure::Usage(why.to_owned()));
        }
        Carrier::Udp => {}
    }
    Ok(settings)
}

/// When connections are cut.
struct Cuts(Vec<Instant>);

impl Cuts {
    fn new(began: Instant, after: &[Duration]) -> Self {
        // The next one last.
        let mut at: Vec<Instant> = after.iter().filter_map(|it| began.checked_add(*it)).collect();
        at.sort_by(|a, b| b.cmp(a));
        Self(at)
    }

    /// Waits until it is time for the next one; for ever, if there is none.
    async fn next(&mut self) {
        match self.0.last() {
            Some(at) => sleep_until(*at).await,
            None => std::future::pending().await,
        }
        self.0.pop();
    }
}

/// What a person has in front of them.
struct Front<'f> {
    asked: &'f LabProxy,
    proxy: &'f Proxy,
}

impl Front<'_> {
    /// Shows the proxy until it is to end; the terminal is given back when this returns.
    async fn show(&self, signals: &mut EndSignals, cuts: &mut Cuts) -> Result<(), Failure> {
        let failed = |error| Failure::io("cannot use the terminal", error);
        let mut screen = Screen::take().map_err(failed)?;
        let mut input = screen.input();
        let mut frames = ticks(FRAME_INTERVAL);
        loop {
            self.draw(&mut screen).map_err(failed)?;
            tokio::select! {
                _ = frames.tick() => {}
                () = cuts.next() => self.proxy.change(|settings| settings.cuts += 1),
                failure = signals.next() => return Err(failure),
                heard = input.next() => match heard {
                    Some(Ok(Heard::Event(Event::Key(key)))) => {
                        match screen::action(key, self.asked.listen.carrier) {
                            Some(Action::Change(change)) => {
                                self.proxy.change(|settings| change.apply(settings));
                            }
                            Some(Action::Reset) => self.proxy.reset_totals(),
                            Some(Action::Quit) => return Ok(()),
                            None => {}
                        }
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(failed(error)),
                    // The terminal has gone.
                    None => return Err(Failure::Terminated),
                },
            }
        }
    }

    fn draw(&self, screen: &mut Screen) -> io::Result<()> {
        let view = View {
            listen: self.proxy.listen(),
            to: &self.asked.to,
            seed: self.asked.seed,
            runs: self.proxy.began().elapsed(),
            settings: &self.proxy.settings(),
            totals: &self.proxy.totals(),
        };
        screen.draw(|frame| screen::draw(frame, &view))
    }
}

/// Says where the proxy listens, and waits for a signal.
async fn watch(
    asked: &LabProxy,
    proxy: &Proxy,
    signals: &mut EndSignals,
    cuts: &mut Cuts,
    output: &mut Output,
) -> Result<(), Failure> {
    let [out, back] = proxy.settings().faults.map(|faults| faults.to_string());
    let style = output.style();
    match style {
        Style::Plain => output.line(&format!(
            "listening on {} → {}, seed {}, out: {out}; back: {back}",
            proxy.listen(),
            asked.to,
            asked.seed
        ))?,
        Style::Json => output.json(&ListeningJson {
            v: JSON_VERSION,
            event: "listening",
            carrier: asked.listen.carrier.name(),
            address: proxy.listen().address,
            to: &asked.to,
            seed: asked.seed,
            out,
            back,
        })?,
    }
    output.flush()?;
    let mut lines = ticks(LINE_INTERVAL);
    lines.tick().await;
    loop {
        tokio::select! {
            _ = lines.tick(), if style == Style::Json => {
                print_totals("totals", proxy, output)?;
                output.flush()?;
            }
            () = cuts.next() => proxy.change(|settings| settings.cuts += 1),
            failure = signals.next() => return Err(failure),
        }
    }
}

fn ticks(every: Duration) -> Interval {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// The first line.
#[derive(Serialize)]
struct ListeningJson<'l> {
    v: u32,
    event: &'static str,
    carrier: &'static str,
    address: SocketAddr,
    to: &'l str,
    seed: u64,
    out: String,
    back: String,
}

/// The others.
#[derive(Serialize)]
struct TotalsJson {
    v: u32,
    event: &'static str,
    at_ms: u64,
    #[serde(flatten)]
    totals: Totals,
}

fn print_totals(event: &'static str, proxy: &Proxy, output: &mut Output) -> Result<(), Failure> {
    let at_ms = u64::try_from(proxy.began().elapsed().as_millis()).unwrap_or(u64::MAX);
    output.json(&TotalsJson { v: JSON_VERSION, event, at_ms, totals: proxy.totals() })
}

fn summary(totals: &Totals, carrier: Carrier, output: &mut Output) -> Result<(), Failure> {
    let Totals { peers_ever, cut, turned_away, ways, .. } = totals;
    match carrier {
        Carrier::Udp => output.line(&format!("{peers_ever} peers"))?,
        Carrier::Tcp => output
            .line(&format!("{peers_ever} connections, {cut} cut, {turned_away} turned away"))?,
    }
    for (name, counters) in [("out", &ways.out), ("back", &ways.back)] {
        output.line(&format!("{name:<5}{}", told(counters, carrier)))?;
    }
    Ok(())
}

fn told(counters: &Counters, carrier: Carrier) -> String {
    let Counters { datagrams, bytes, passed, passed_bytes, .. } = *counters;
    if carrier == Carrier::Tcp {
        return format!("came {bytes} bytes, passed {passed_bytes}");
    }
    let whys = [
        ("lost", counters.lost),
        ("blackout", counters.blackout),
        ("queue full", counters.queue_full),
        ("too large", counters.too_large),
        ("duplicated", counters.duplicated),
        ("corrupted", counters.corrupted),
        ("reordered", counters.reordered),
        ("no room", counters.overflow),
        ("refused", counters.refused),
    ];
    let whys = whys.into_iter().filter(|(_, count)| *count > 0);
    let whys = whys.map(|(name, count)| format!("{name} {count}"));
    let came = [format!("came {datagrams} ({bytes} bytes)"), format!("passed {passed}")];
    came.into_iter().chain(whys).collect::<Vec<_>>().join(", ")
}
