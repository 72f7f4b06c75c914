//! The relay dies under two people who go on writing.

use super::{LARGE, Place, USUAL, is_marked, say};

#[test]
fn what_is_said_while_the_relay_is_gone_is_sent_once_and_in_order() {
    let mut place = Place::new();
    let ada = place.open("ada", USUAL);
    let bea = place.open("bea", LARGE);
    say(&ada, "before");
    bea.wait_for("before");
    place.kill_relay();
    for pty in [&ada, &bea] {
        pty.wait_until("she is told", |screen| !screen.shows("connected"));
    }
    for number in 0..6 {
        ada.type_keys(&format!("ada {number}<enter>"));
        bea.type_keys(&format!("bea {number}<enter>"));
    }
    for (pty, last) in [(&ada, "ada 5"), (&bea, "bea 5")] {
        pty.wait_until("they wait", |screen| {
            is_marked(screen, last, "…") && screen.shows("outbox 6")
        });
    }
    place.start_relay();
    for pty in [&ada, &bea] {
        // Nobody has to wait for the next try.
        pty.type_keys("/reconnect<enter>");
        pty.wait_until("everything is sent and here", |screen| {
            screen.shows("connected")
                && !screen.shows("outbox")
                && ["ada", "bea"].iter().all(|name| screen.shows(&format!("{name} 5")))
        });
    }
    let said = |pty: &harness::pty::Pty, name: &str| -> Vec<String> {
        let screen = pty.screen();
        let words = (0..6).map(|number| format!("{name} {number}"));
        let mut places: Vec<_> = words
            .flat_map(|word| {
                screen.match_indices(&word).map(|(at, _)| (at, word.clone())).collect::<Vec<_>>()
            })
            .collect();
        places.sort();
        places.into_iter().map(|(_, word)| word).collect()
    };
    for (pty, name) in [(&ada, "ada"), (&ada, "bea"), (&bea, "ada"), (&bea, "bea")] {
        let expected: Vec<_> = (0..6).map(|number| format!("{name} {number}")).collect();
        assert_eq!(said(pty, name), expected, "{}", pty.screen());
    }
    let history = place.chat("carl").history("#lobby", 100).expect("the relay answers");
    let words: Vec<_> = history.iter().filter_map(|line| line.text.as_deref()).collect();
    for name in ["ada", "bea"] {
        let own = |words: &&&str| words.starts_with(name) && !words.ends_with("joined");
        let of: Vec<_> = words.iter().filter(own).collect();
        let expected: Vec<_> = (0..6).map(|number| format!("{name} {number}")).collect();
        assert_eq!(of, expected.iter().collect::<Vec<_>>(), "{words:?}");
    }
}
