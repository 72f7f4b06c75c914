//! Somebody makes their own path to the relay worse while they talk, and sees what comes of it.

use harness::{pty::Pty, screen::Screen};

use super::{LARGE, Place, USUAL, escape, say};

/// Messages of each.
const MESSAGES: usize = 30;

/// The numbers in the row of a list that begins with this.
fn numbers(screen: &Screen, name: &str) -> Vec<u64> {
    let row = screen.row(name).unwrap_or_default();
    let behind = row.split_once(name).map_or("", |(_, behind)| behind).to_owned();
    let words = behind.split(|letter: char| !letter.is_ascii_digit());
    words.filter_map(|word| word.parse().ok()).collect()
}

fn say_all(pty: &Pty, name: &str) {
    for number in 0..MESSAGES {
        pty.type_keys(&format!("{name} {number:02}<enter>"));
    }
}

#[test]
fn what_is_lost_on_purpose_arrives_once_and_in_order_all_the_same() {
    let place = Place::new();
    let ada = place.open_near("ada", "udp", LARGE);
    let bea = place.open_near("bea", "udp", LARGE);
    ada.type_keys("/net loss 30%<enter>");
    ada.wait_for("lab: loss 30%");
    say_all(&ada, "ada");
    say_all(&bea, "bea");
    for pty in [&ada, &bea] {
        let last = MESSAGES - 1;
        pty.wait_until("all of it is there", |screen| {
            let is_there = |name| screen.shows(&format!("{name} {last:02}"));
            is_there("ada") && is_there("bea") && !screen.shows("outbox")
        });
    }
    let history = place.near("carl", "tcp").history("#lobby", 200).expect("the relay answers");
    for name in ["ada", "bea"] {
        let words = history.iter().filter_map(|line| line.text.as_deref());
        let is_own = |words: &&str| words.starts_with(name) && !words.ends_with("joined");
        let said: Vec<_> = words.filter(is_own).collect();
        let expected: Vec<_> = (0..MESSAGES).map(|number| format!("{name} {number:02}")).collect();
        assert_eq!(said, expected);
    }

    ada.type_keys("/net<enter>");
    ada.wait_until("what was lost on purpose, and that it was noticed", |screen| {
        let lost = numbers(screen, "lab lost");
        let noticed = numbers(screen, "lost    ");
        lost.len() == 4 && lost[0] > 0 && lost[2] > 0 && noticed.iter().take(2).sum::<u64>() > 0
    });
    escape(&ada, "lab seed");
    ada.type_keys("/net off<enter>");
    ada.wait_for("no faults are set");
    say(&ada, "well again");
    ada.wait_until("nothing is wrong any more", |screen| !screen.shows("lab:"));
    bea.wait_for("well again");
}

#[test]
fn the_way_of_a_message_that_was_lost_says_so_and_why_it_was_sent_again() {
    let place = Place::new();
    let ada = place.open_near("ada", "udp", LARGE);
    ada.type_keys("/net loss 40%<enter>");
    ada.wait_for("lab: loss 40%");
    ada.type_keys("<f5>");
    ada.wait_for("bytes under way");
    let mut is_found = false;
    // Nearly every third message is lost at first.
    for number in 0..MESSAGES {
        say(&ada, &format!("ada {number:02}"));
        ada.type_keys("<S-up><enter>");
        ada.wait_for("t way");
        ada.type_keys("t");
        ada.wait_until("its way", |screen| {
            is_found |= screen.shows(" lost: ") && screen.shows(", again: ");
            screen.shows("stored by the relay")
        });
        escape(&ada, "stored by the relay");
        ada.type_keys("<S-down>");
        if is_found {
            break;
        }
    }
    assert!(is_found, "{}", ada.screen());
}

#[test]
fn a_cut_connection_comes_back_and_the_faults_stay() {
    let place = Place::new();
    let ada = place.open_near("ada", "udp", USUAL);
    ada.type_keys("/net out delay 20ms<enter>");
    ada.wait_for("lab: out delay 20ms");
    ada.type_keys("/net cut<enter>");
    ada.wait_for("the connection is cut");
    ada.type_keys("/reconnect<enter>");
    say(&ada, "here again");
    ada.wait_for("lab: out delay 20ms | connected (udp)");
}

#[test]
fn over_tcp_only_what_a_stream_shows_can_go_wrong_and_only_in_the_program_with_the_connection() {
    let place = Place::new();
    let ada = place.open_near("ada", "tcp", LARGE);
    ada.type_keys("/net loss 10%<enter>");
    ada.wait_for("over TCP the kernel repairs losses before we see them");
    ada.type_keys("<C-u>/net delay 30ms<enter>");
    ada.wait_for("lab: delay 30ms");
    say(&ada, "slowly");

    let again = place.open_near("ada", "tcp", USUAL);
    again.wait_for("lab: delay 30ms");
    again.type_keys("/net off<enter>");
    again.wait_for("another program of this home has the connection");
    ada.type_keys("/net off<enter>");
    again.wait_until("it is off for both", |screen| !screen.shows("lab: delay"));
}
