//! The sender's end of a run whose receiver is on another host.

use std::{io, net::SocketAddr, time::Duration};

use protocol::{
    entropy::Entropy,
    lab::{
        experiment::{Experiment, Run},
        remote::{Knock, Live, Plan, Progress, Reply, RunName},
        scenario::{self, Recorded, Strategy},
        strategy::Sender,
    },
    time::Timestamp,
    transport::datagram::trace::Payloads,
};
use tokio::{
    net::UdpSocket,
    time::{Instant, timeout_at},
};

use super::Clock;
use crate::{
    lab::{
        alarm::Alarm,
        sockets::{DATAGRAM_BYTES_MAX, towards},
    },
    report::Failure,
};

/// How often a guest knocks while nobody answers.
const KNOCK_INTERVAL: Duration = Duration::from_millis(250);
/// And how many times: three seconds.
const KNOCKS_MAX: u32 = 12;

/// A socket towards a host of receivers.
#[derive(Debug)]
pub struct Remote {
    socket: UdpSocket,
    address: SocketAddr,
}

/// Who is told how far a run is, and when that was.
pub type Watch<'w> = &'w mut dyn FnMut(&Run, Timestamp);

impl Remote {
    /// One towards the host at `address`, whoever is there.
    ///
    /// # Errors
    ///
    /// If the system knows no way there. The socket needs a runtime.
    pub fn open(address: SocketAddr) -> Result<Self, Failure> {
        match towards(address) {
            Ok(socket) => Ok(Self { socket, address }),
            Err(error) => Err(no_receiver(address, &error)),
        }
    }

    /// Where the host is.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Runs a strategy in real time; with `payloads`, what a sender of ours did is recorded.
    ///
    /// # Errors
    ///
    /// If nobody answers, or no longer, or there is no room.
    pub async fn run(
        &self,
        strategy: Strategy,
        experiment: &Experiment,
        payloads: Option<Payloads>,
        watch: Watch<'_>,
    ) -> Result<Recorded, Failure> {
        let plan = Plan::new(strategy, experiment);
        let round_trip = experiment.round_trip();
        if let Some(payloads) = payloads.filter(|_| strategy == Strategy::Ours) {
            let (mut sender, _) = scenario::ours(Timestamp::ZERO, round_trip);
            sender.record(payloads);
            let (run, sender) = self.play(plan, experiment, sender, watch).await?;
            return Ok(Recorded { run, sender: Some(sender.into_trace()), receiver: None });
        }
        let (sender, _) = strategy.halves(Timestamp::ZERO, round_trip);
        let (run, _) = self.play(plan, experiment, sender, watch).await?;
        Ok(run.into())
    }

    async fn play<S: Sender>(
        &self,
        plan: Plan,
        experiment: &Experiment,
        sender: S,
        watch: Watch<'_>,
    ) -> Result<(Run, S), Failure> {
        let failed = |error: io::Error| no_receiver(self.address, &error);
        let run: RunName = Entropy::system().bytes();
        self.knock(Knock::new(run, plan)).await?;
        let mut live = Live::new(experiment, sender, run);
        let (clock, alarm) = (Clock::new(), Alarm::new());
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        loop {
            let now = clock.now();
            let progress = live.step(now).map_err(|error| no_receiver(self.address, &error))?;
            while let Some(datagram) = live.poll_datagram() {
                self.socket.send(&datagram).await.map_err(failed)?;
            }
            watch(live.run(), now);
            if progress == Progress::Ended {
                return live.finish(now).map_err(|error| no_receiver(self.address, &error));
            }
            let wakes = clock.instant(live.poll_timeout());
            tokio::select! {
                received = self.socket.recv(&mut buffer) => {
                    let bytes = received.map_err(failed)?;
                    live.handle_datagram(&buffer[..bytes]);
                }
                () = alarm.until(wakes) => {}
            }
        }
    }

    /// Asks until the run has begun.
    async fn knock(&self, mut knock: Knock) -> Result<(), Failure> {
        let failed = |error: io::Error| no_receiver(self.address, &error);
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        for _ in 0..KNOCKS_MAX {
            self.socket.send(&knock.datagram()).await.map_err(failed)?;
            let again_at = Instant::now() + KNOCK_INTERVAL;
            while let Ok(received) = timeout_at(again_at, self.socket.recv(&mut buffer)).await {
                let bytes = received.map_err(failed)?;
                match knock.handle_datagram(&buffer[..bytes]) {
                    Some(Reply::Begun) => return Ok(()),
                    Some(Reply::Refused) => {
                        return Err(no_receiver(self.address, &"it has as many runs as it may"));
                    }
                    // It has something else to say now.
                    Some(Reply::Hears) => break,
                    None => {}
                }
            }
        }
        Err(no_receiver(self.address, &"nobody answers"))
    }
}

fn no_receiver(address: SocketAddr, why: &impl ToString) -> Failure {
    Failure::NoReceiver { address, why: why.to_string() }
}
