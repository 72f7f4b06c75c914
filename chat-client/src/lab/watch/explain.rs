//! Why a packet left just then, in sentences with the numbers that decided it.

use std::time::Duration;

use protocol::lab::strategy::{Cause, Label};

use super::film::Film;
use crate::lab::ladder::{Fate, Row, Way, time};

/// Packets that are named; of more, how many.
const NAMED_MAX: usize = 4;

/// What there is to say of a row.
pub fn explain(film: &Film, index: usize, now: Duration) -> Vec<String> {
    let (Some(row), Some(label)) = (film.rows.get(index), film.labels.get(index)) else {
        return vec!["Nothing has happened yet.".to_owned()];
    };
    let mut sentences = vec![match label {
        Label::Ack { number } => {
            format!("Packet {} says what has arrived; it names {number}.", row.packet)
        }
        Label::Data { number, cause: Cause::First } => {
            format!("Packet {} carries {number} for the first time.", row.packet)
        }
        Label::Data { number, cause } => {
            let why = reason(film, index, *cause);
            format!("Packet {} carries {number} again, {why}.", row.packet)
        }
    }];
    let earlier = film.earlier.get(index).copied().flatten();
    if let Some(earlier) = earlier.and_then(|earlier| film.rows.get(earlier)) {
        sentences.push(before(earlier, row.at));
    }
    sentences.push(fate(row, now));
    sentences
}

fn reason(film: &Film, index: usize, cause: Cause) -> String {
    let row = &film.rows[index];
    let earlier = film.earlier[index];
    let waited = earlier.map(|earlier| row.at.saturating_sub(film.rows[earlier].at));
    let since = waited.map(|waited| format!(" for {}", time(waited))).unwrap_or_default();
    match cause {
        Cause::First => String::new(),
        Cause::Timeout => {
            let timer =
                film.timers[index].map(|timer| format!("; the timer stood at {}", time(timer)));
            let timer = timer.unwrap_or_default();
            format!("because no acknowledgement came{since}{timer}")
        }
        Cause::Overtaken => match earlier.map(|earlier| overtakers(film, earlier, row.at)) {
            Some(later) if !later.is_empty() => {
                format!("because {} left after it and arrived", named(&later))
            }
            _ => "because later packets are acknowledged and it is not".to_owned(),
        },
        Cause::GoBack => "because one before it was, and all that follow go with it".to_owned(),
        Cause::Copy => "to be on the safe side, before anybody knows of a loss".to_owned(),
    }
}

/// Packets that left after this one and have arrived by then.
fn overtakers(film: &Film, earlier: usize, by: Duration) -> Vec<u64> {
    let later = film.rows[earlier + 1..].iter().take_while(|row| row.at < by);
    let arrived =
        later.filter(|row| row.way == Way::Out && matches!(row.fate_at(by), Fate::Arrived { .. }));
    arrived.map(|row| row.packet).collect()
}

fn named(packets: &[u64]) -> String {
    match packets {
        [] => "nothing".to_owned(),
        [one] => format!("packet {one}"),
        many if many.len() <= NAMED_MAX => {
            let (last, first) = many.split_last().unwrap_or((&0, &[]));
            let first: Vec<String> = first.iter().map(u64::to_string).collect();
            format!("packets {} and {last}", first.join(", "))
        }
        [first, .., last] => format!("{} packets from {first} to {last}", packets.len()),
    }
}

/// What became of the packet before; the sender could not know.
fn before(earlier: &Row, now: Duration) -> String {
    let ago = time(now.saturating_sub(earlier.at));
    match earlier.fate_at(now) {
        Fate::Lost { .. } => {
            format!("The one before, packet {}, {ago} ago, was lost.", earlier.packet)
        }
        Fate::Arrived { after, .. } => format!(
            "The one before, packet {}, {ago} ago, had arrived after {}: nobody told the sender.",
            earlier.packet,
            time(*after)
        ),
        Fate::UnderWay => {
            format!("The one before, packet {}, {ago} ago, is still under way.", earlier.packet)
        }
    }
}

fn fate(row: &Row, now: Duration) -> String {
    match row.fate_at(now) {
        Fate::UnderWay => "It is under way.".to_owned(),
        Fate::Arrived { after, note } if note.is_empty() => {
            format!("It arrives after {}.", time(*after))
        }
        Fate::Arrived { after, note } => format!("It arrives after {} and {note}.", time(*after)),
        Fate::Lost { why, .. } => format!("It does not arrive ({why})."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::watch::fixture::film;

    /// What is said of the first packet that left for this reason.
    fn said(scenario: &str, strategy: &str, cause: Cause) -> String {
        let (_, film) = film(scenario, strategy);
        let is_it = |label: &Label| matches!(label, Label::Data { cause: is, .. } if *is == cause);
        let index = film.labels.iter().position(is_it).expect("there is one");
        explain(&film, index, film.lasted).join(" ")
    }

    #[test]
    fn a_late_packet_is_explained_with_the_timer() {
        let said = said("lost-ack", "stop-and-wait", Cause::Timeout);
        assert!(said.contains("again, because no acknowledgement came for"), "{said}");
        assert!(said.contains("the timer stood at"), "{said}");
        assert!(said.contains("The one before, packet"), "{said}");
    }

    #[test]
    fn an_overtaken_packet_is_explained_with_those_that_arrived() {
        let said = said("head-of-line", "tcp", Cause::Overtaken);
        assert!(said.contains("left after it and arrived"), "{said}");
        assert!(said.contains("was lost."), "{said}");
    }

    #[test]
    fn packets_are_named_as_long_as_there_are_few() {
        assert_eq!(named(&[7]), "packet 7");
        assert_eq!(named(&[7, 8, 9]), "packets 7, 8 and 9");
        assert_eq!(named(&[1, 2, 3, 4, 5]), "5 packets from 1 to 5");
    }
}
