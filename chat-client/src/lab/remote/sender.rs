//! The sender's end of a run whose receiver is on another host.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use protocol::{
    entropy::Entropy,
    lab::{
        experiment::{Experiment, Run},
        remote::{Knock, Live, LiveError, Plan, Progress, Reply, RunName},
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
    report::{Absence, Failure},
};

/// How often a guest knocks while nobody answers.
const KNOCK_INTERVAL: Duration = Duration::from_millis(250);
/// And how many times: three seconds.
const KNOCKS_MAX: u32 = 12;
/// How often the system may say in the meantime that nobody is there. Once may be by chance: a peer
/// that starts again, or a message that was meant for somebody else.
const ERRORS_MAX: u32 = 3;

/// A socket towards a host of receivers.
#[derive(Debug)]
pub struct Remote {
    socket: UdpSocket,
    address: SocketAddr,
    /// Where it may be as well, until it has answered.
    others: VecDeque<SocketAddr>,
}

/// Who is told how far a run is, and when that was.
pub type Watch<'w> = &'w mut dyn FnMut(&Run, Timestamp);

impl Remote {
    /// One towards the host at `address` or, if nobody answers there, at one of the `others`.
    ///
    /// # Errors
    ///
    /// If the system knows no way to any of them. The socket needs a runtime.
    pub fn open(
        address: SocketAddr,
        others: impl IntoIterator<Item = SocketAddr>,
    ) -> Result<Self, Failure> {
        let mut others: VecDeque<_> = others.into_iter().collect();
        let mut address = address;
        loop {
            match towards(address) {
                Ok(socket) => return Ok(Self { socket, address, others }),
                Err(error) => {
                    let failure = no_receiver(address, Absence::Nobody, &error);
                    address = others.pop_front().ok_or(failure)?;
                }
            }
        }
    }

    /// Where the host is, once a run has begun there.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Runs a strategy in real time; with `payloads`, what a sender of ours did is recorded.
    ///
    /// # Errors
    ///
    /// If nobody answers, or no longer, or there is no room.
    pub async fn run(
        &mut self,
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
        &mut self,
        plan: Plan,
        experiment: &Experiment,
        sender: S,
        watch: Watch<'_>,
    ) -> Result<(Run, S), Failure> {
        let run: RunName = Entropy::system().bytes();
        self.begin(run, plan).await?;
        let broken = |error: LiveError| {
            let absence = match error {
                LiveError::Gone => Absence::Gone,
                LiveError::Broken(_) | LiveError::TooMuch => Absence::Broken,
            };
            no_receiver(self.address, absence, &error)
        };
        let mut live = Live::new(experiment, sender, run);
        let (clock, alarm) = (Clock::new(), Alarm::new());
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        loop {
            let now = clock.now();
            let progress = live.step(now).map_err(broken)?;
            while let Some(datagram) = live.poll_datagram() {
                // Lost, as on any network: what the system tells of may be over soon, and looks that
                // nobody answers end the run.
                let _ = self.socket.send(&datagram).await;
            }
            watch(live.run(), now);
            if progress == Progress::Ended {
                return live.finish(now).map_err(|error| broken(error.into()));
            }
            let wakes = clock.instant(live.poll_timeout());
            tokio::select! {
                received = self.socket.recv(&mut buffer) => {
                    if let Ok(bytes) = received {
                        live.handle_datagram(&buffer[..bytes]);
                    }
                }
                () = alarm.until(wakes) => {}
            }
        }
    }

    /// Begins a run at the first address where somebody answers.
    async fn begin(&mut self, run: RunName, plan: Plan) -> Result<(), Failure> {
        loop {
            let failure = match self.knock(Knock::new(run, plan)).await {
                Ok(()) => {
                    self.others.clear();
                    return Ok(());
                }
                Err(failure) => failure,
            };
            let is_nobody = matches!(failure, Failure::NoReceiver { absence: Absence::Nobody, .. });
            let Some(next) = self.others.pop_front().filter(|_| is_nobody) else {
                return Err(failure);
            };
            // Where the system knows no way, there is no more to say than here.
            *self = Self::open(next, self.others.drain(..)).map_err(|_| failure)?;
        }
    }

    /// Asks until the run has begun.
    async fn knock(&self, mut knock: Knock) -> Result<(), Failure> {
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        let mut errors = 0;
        let mut failed = |error| {
            errors += 1;
            if errors > ERRORS_MAX {
                return Err(no_receiver(self.address, Absence::Nobody, &error));
            }
            Ok(())
        };
        for _ in 0..KNOCKS_MAX {
            self.socket.send(&knock.datagram()).await.map(drop).or_else(&mut failed)?;
            let again_at = Instant::now() + KNOCK_INTERVAL;
            while let Ok(received) = timeout_at(again_at, self.socket.recv(&mut buffer)).await {
                let bytes = match received {
                    Ok(bytes) => bytes,
                    Err(error) => {
                        failed(error)?;
                        continue;
                    }
                };
                match knock.handle_datagram(&buffer[..bytes]) {
                    Some(Reply::Begun) => return Ok(()),
                    Some(Reply::Refused) => {
                        let why = "it has as many runs as it may, or as many from here";
                        return Err(no_receiver(self.address, Absence::Full, &why));
                    }
                    // It has something else to say now.
                    Some(Reply::Hears) => break,
                    None => {}
                }
            }
        }
        Err(no_receiver(self.address, Absence::Nobody, &"nobody answers"))
    }
}

fn no_receiver(address: SocketAddr, absence: Absence, why: &impl ToString) -> Failure {
    Failure::NoReceiver { address, absence, why: why.to_string() }
}

#[cfg(test)]
mod tests {
    use std::{error::Error, net::Ipv4Addr};

    use protocol::lab::{experiment::Traffic, fault::Faults};
    use tokio::sync::watch;

    use super::{super::peer::Peer, *};

    type Outcome = Result<(), Box<dyn Error>>;

    const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    fn experiment() -> Experiment {
        let every = Duration::from_millis(5);
        Experiment {
            traffic: Traffic { messages: 60, bytes: 100, every, conversations: 1 },
            interface: None,
            path: [Faults::default(), Faults::default()],
            changes: Vec::new(),
            seed: 1,
            lasts_max: Duration::from_secs(60),
        }
    }

    #[tokio::test]
    async fn a_port_that_is_closed_for_a_moment_does_not_end_the_run() -> Outcome {
        let mut peer = Peer::bind(LOOPBACK).await?;
        let address = peer.address()?;
        let mut remote = Remote::open(address, [])?;
        let (tell, mut sent) = watch::channel(0);
        let serve = async {
            while *sent.borrow() < 10 {
                tokio::select! {
                    turned = peer.turn() => turned?,
                    _ = sent.changed() => {}
                }
            }
            // The system tells the sender of each packet that nobody is there.
            peer.bind_again(LOOPBACK).await?;
            let before = *sent.borrow();
            sent.wait_for(|now| *now >= before + 5).await?;
            peer.bind_again(address).await?;
            loop {
                if let Err(error) = peer.turn().await {
                    return Err::<(), Box<dyn Error>>(error.into());
                }
            }
        };
        let mut watch = |run: &Run, _| {
            let _ = tell.send(run.sent[0].0);
        };
        let experiment = experiment();
        let run = remote.run(Strategy::SelectiveRepeat, &experiment, None, &mut watch);
        tokio::select! {
            recorded = run => assert_eq!(recorded?.run.delivered(), 60),
            failed = serve => return failed,
        }
        Ok(())
    }

    #[tokio::test]
    async fn addresses_are_tried_in_turn() -> Outcome {
        let mut peer = Peer::bind(LOOPBACK).await?;
        let address = peer.address()?;
        let closed = UdpSocket::bind(LOOPBACK).await?.local_addr()?;
        let mut remote = Remote::open(closed, [address, closed])?;
        let experiment = experiment();
        let run = async {
            let run = remote.run(Strategy::Tcp, &experiment, None, &mut |_, _| {}).await?;
            Ok::<_, Failure>((run.run.delivered(), remote.address()))
        };
        tokio::select! {
            run = run => assert_eq!(run?, (60, address)),
            failed = async { loop { if let Err(error) = peer.turn().await { break error } } } => {
                return Err(failed.into());
            }
        }
        Ok(())
    }
}
