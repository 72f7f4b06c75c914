//! What a reader of a report is told in words: the path, why packets leave, what became of them.

use std::{net::SocketAddr, time::Duration};

use protocol::lab::{
    experiment::{Change, Experiment, Traffic},
    fault::{Drop, Faults, Loss, Share},
    jitter::{Jitter, Shape},
    scenario::Strategy,
    strategy::Cause,
};

/// What is sent over which path, a sentence each; with `live`, to a receiver there.
pub(super) fn experiment(experiment: &Experiment, live: Option<SocketAddr>) -> Vec<String> {
    let mut sentences = vec![traffic(&experiment.traffic)];
    sentences.extend(live.map(|address| {
        format!(
            "The receiver was at {address}, behind a real network: times are real ones, and a \
             message was given out when the sender heard of it. A packet arrived when it got past the \
             faults: what the real network lost after that is not seen, and the news of what was \
             given out meets no faults."
        )
    }));
    if let Some(bytes) = experiment.interface {
        sentences.push(format!("The sender's interface takes {}.", rate(bytes)));
    }
    // What changes at once is how the path is from the beginning.
    let (at_once, later): (Vec<&Change>, Vec<&Change>) =
        experiment.changes.iter().partition(|change| change.after.is_zero());
    sentences.extend(ways("", at_once.last().map_or(&experiment.path, |change| &change.path)));
    for Change { after, path } in later {
        sentences.extend(ways(&format!("After {}, ", time(*after)), path));
    }
    let lasts = time(experiment.lasts_max);
    sentences.push(format!(
        "It ends when everything is known to have arrived, after {lasts} at the latest."
    ));
    sentences
}

/// What the command of a report does.
pub(super) const fn again(live: Option<SocketAddr>) -> &'static str {
    match live {
        None => "This command makes the same run, down to the last event:",
        Some(_) => {
            "This command lets packets with the same number meet the same fate, at other times:"
        }
    }
}

fn traffic(traffic: &Traffic) -> String {
    let Traffic { messages, bytes, every, conversations } = traffic;
    let pace = match *every {
        Duration::ZERO => "all there from the beginning".to_owned(),
        every => format!("one every {}", time(every)),
    };
    let whose = match conversations {
        0 | 1 => String::new(),
        several => format!(", of {several} conversations in turn"),
    };
    format!("{messages} messages of {bytes} bytes, {pace}{whose}.")
}

fn ways(when: &str, [out, back]: &[Faults; 2]) -> Vec<String> {
    let way =
        |name: &str, it| format!("{}: {}.", capitalised(&format!("{when}{name}")), faults(it));
    if out == back {
        return vec![way("both ways", out)];
    }
    vec![way("to the receiver", out), way("back to the sender", back)]
}

fn capitalised(words: &str) -> String {
    let mut characters = words.chars();
    characters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

/// What a direction does, as a list.
fn faults(faults: &Faults) -> String {
    let mut words = vec![time(faults.delay)];
    let mut say = |happens: bool, what: &dyn Fn() -> String| {
        if happens {
            words.push(what());
        }
    };
    let Jitter { by: jitter, shape } = faults.jitter;
    say(!jitter.is_zero(), &|| match shape {
        Shape::Uniform => format!("up to {} more", time(jitter)),
        Shape::Normal => format!("{} more or less (standard deviation)", time(jitter)),
        Shape::Exponential => format!("{} more on average (exponential)", time(jitter)),
        Shape::Pareto => format!("{} more on average (Pareto)", time(jitter)),
    });
    let lost = loss(&faults.loss);
    say(lost.is_some(), &|| lost.clone().unwrap_or_default());
    say(faults.duplicate > Share::NONE, &|| format!("{} come twice", share(faults.duplicate)));
    say(faults.corrupt > Share::NONE, &|| format!("{} come damaged", share(faults.corrupt)));
    let (overtaken, by) = faults.reorder;
    say(overtaken > Share::NONE, &|| {
        format!("{} take {} longer and are overtaken", share(overtaken), time(by))
    });
    if let Some(bottleneck) = faults.rate {
        let queue = bytes(bottleneck.queue_bytes);
        let rate = rate(bottleneck.bytes_per_second);
        say(true, &|| format!("a bottleneck of {rate} with a queue of {queue}"));
    }
    let size = faults.datagram_bytes_max;
    say(size > 0, &|| format!("nothing larger than {size} bytes gets through"));
    for blackout in &faults.blackouts {
        let (from, to) = (time(blackout.start), time(blackout.end));
        say(true, &|| format!("nothing gets through from {from} to {to}"));
    }
    words.join(", ")
}

fn loss(loss: &Loss) -> Option<String> {
    match loss {
        Loss::None => None,
        Loss::Independent(part) => Some(format!("{} lost, each by itself", share(*part))),
        Loss::Bursts { .. } => loss.average().map(|(average, length)| {
            format!("about {} lost, {length} in a row on average", share(average))
        }),
        Loss::Listed(numbers) => {
            let numbers: Vec<String> = numbers.iter().map(u64::to_string).collect();
            Some(format!("packets {} lost", numbers.join(", ")))
        }
    }
}

/// Why a packet leaves.
pub(super) const fn cause(cause: Cause) -> &'static str {
    match cause {
        Cause::First => "data, sent for the first time",
        Cause::Timeout => "sent again because no acknowledgement came before the timer went off",
        Cause::Overtaken => {
            "sent again because packets that left later were acknowledged and this one was not"
        }
        Cause::GoBack => {
            "sent again because one before it was, and go-back-N sends everything behind it again"
        }
        Cause::Copy => "a copy, sent to be on the safe side before anybody knew of a loss",
    }
}

/// What an acknowledgement is.
pub(super) const ACK: &str = "an acknowledgement: it says what has arrived";

/// Why a packet did not arrive.
pub(super) const fn drop(why: Drop) -> &'static str {
    match why {
        Drop::Lost => "lost on the way",
        Drop::Blackout => "lost, because nothing gets through at that time",
        Drop::QueueFull => "dropped, because the queue before the bottleneck was full",
        Drop::TooLarge => "dropped, because it is larger than the path carries",
    }
}

/// What the numbers of a strategy count.
pub(super) fn numbers(strategy: &str) -> &'static str {
    match Strategy::named(strategy) {
        Some(Strategy::StopAndWait | Strategy::GoBackN | Strategy::SelectiveRepeat) => {
            "Numbers are those of messages, so what is sent again keeps its number."
        }
        Some(Strategy::Tcp | Strategy::Kcp) => {
            "Numbers are those of segments, a message each, so what is sent again keeps its number; an \
             acknowledgement says which is wanted next (tcp), or which has come (kcp)."
        }
        Some(Strategy::Ours) => {
            "Numbers are those of packets and are never used twice: what is sent again has a new number, so \
             that nobody has to guess which of the two was acknowledged."
        }
        None => "Numbers are what the strategy says of its packets.",
    }
}

/// `20 ms`, `1.5 s`.
fn time(time: Duration) -> String {
    let micros = time.as_micros();
    let (unit, name) = match micros {
        0..1_000 => (1, "µs"),
        1_000..1_000_000 => (1_000, "ms"),
        _ => (1_000_000, "s"),
    };
    format!("{} {name}", decimal(micros, unit))
}

/// `40 %`, `0.5 %`.
fn share(share: Share) -> String {
    format!("{} %", decimal(u128::from(share.as_millionths()), 10_000))
}

/// `2 Mbit/s`.
fn rate(bytes_per_second: u64) -> String {
    let bits = u128::from(bytes_per_second) * 8;
    let (unit, name) = if bits < 1_000_000 { (1_000, "kbit/s") } else { (1_000_000, "Mbit/s") };
    format!("{} {name}", decimal(bits, unit))
}

/// `100 kB`.
fn bytes(bytes: u64) -> String {
    let (unit, name) = match bytes {
        0..1_000 => (1, "bytes"),
        1_000..1_000_000 => (1_000, "kB"),
        _ => (1_000_000, "MB"),
    };
    format!("{} {name}", decimal(u128::from(bytes), unit))
}

/// A number in a unit of some power of ten, with all digits that are not zero.
fn decimal(value: u128, unit: u128) -> String {
    let (whole, rest) = (value / unit, value % unit);
    if rest == 0 {
        return whole.to_string();
    }
    let digits = unit.ilog10() as usize;
    let fraction = format!("{rest:0digits$}");
    format!("{whole}.{}", fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_told_in_the_units_people_use() {
        let mut path = Faults::default();
        for (name, value) in [
            ("delay", "20ms"),
            ("jitter", "1.5ms"),
            ("loss", "5% in bursts of 4"),
            ("duplicate", "0.5%"),
            ("reorder", "10% by 30ms"),
            ("rate", "2.5mbit"),
            ("queue", "100kB"),
            ("blackout", "3s..5.25s"),
        ] {
            path.set(name, value).expect(value);
        }
        assert_eq!(
            faults(&path),
            "20 ms, up to 1.5 ms more, about 5 % lost, 4 in a row on average, 0.5 % come twice, \
             10 % take 30 ms longer and are overtaken, a bottleneck of 2.5 Mbit/s with a queue of 100 kB, \
             nothing gets through from 3 s to 5.25 s"
        );
    }
}
