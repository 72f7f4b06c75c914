//! A room with a long past: scrolled, jumped into and left again, by somebody who was there and by
//! somebody who has just come and stores nothing of it.

use harness::screen::Screen;

use super::{LARGE, Place, USUAL, say};

const MESSAGES: usize = 20_000;
/// More than the relay lets one connection say in normal life.
const IN_A_HURRY: [(&str, &str); 4] = [
    ("CHAT_SERVER__LIMITS__MESSAGES_PER_SECOND", "1000000"),
    ("CHAT_SERVER__LIMITS__MESSAGES_BURST", "1000000"),
    ("CHAT_SERVER__LIMITS__MESSAGE_BYTES_PER_SECOND", "1GiB"),
    ("CHAT_SERVER__LIMITS__MESSAGE_BYTES_BURST", "1GiB"),
];

/// The numbers of the messages on the screen, from the top.
fn numbers(screen: &Screen) -> Vec<usize> {
    let number = |row: String| row.split("number ").nth(1)?.get(..5)?.parse().ok();
    screen.rows().filter_map(number).collect()
}

/// Whether the messages on the screen are neighbours, without a gap or a repetition.
fn is_whole(shown: &[usize]) -> bool {
    shown.windows(2).all(|pair| pair[0] + 1 == pair[1])
}

#[test]
fn twenty_thousand_messages_are_a_few_keys_from_end_to_end() {
    let place = Place::with_settings(&IN_A_HURRY);
    let ada = place.open("ada", USUAL);
    say(&ada, "the very first");
    harness::machine::leave(ada);
    place.say("carl", (1..=MESSAGES).map(|number| format!("number {number:05}")));

    // She has read one message, and the rest is new: the first screen says from where on.
    let ada = place.open("ada", USUAL);
    ada.wait_for("number 20000");
    ada.type_keys("<M-u>");
    ada.wait_until("where the new ones begin", |screen| {
        screen.shows("the very first")
            && screen.shows("new messages")
            && numbers(screen).contains(&1)
    });
    ada.type_keys("<end>");
    ada.wait_until("the newest", |screen| numbers(screen).last() == Some(&MESSAGES));
    assert_reading_by_pages(&ada);

    // Somebody who has just come stores the newest messages only.
    let bea = place.open("bea", LARGE);
    bea.wait_for("number 20000");
    assert_reading_by_pages(&bea);
    bea.type_keys("/goto today<enter>");
    bea.wait_until("the first of today", |screen| screen.shows("the very first"));
    bea.type_keys("/goto 10000<enter>");
    bea.wait_until("the middle", |screen| {
        let shown = numbers(screen);
        is_whole(&shown) && shown.iter().any(|number| (9_980..10_000).contains(number))
    });
    bea.type_keys("<M-,>");
    bea.wait_until("back at the first of today", |screen| screen.shows("the very first"));
    bea.type_keys("<end>");
    bea.wait_until("the newest", |screen| numbers(screen).last() == Some(&MESSAGES));
    say(&ada, "still there?");
    bea.wait_for("still there?");
}

/// Page by page over several pages of the store, to what is the oldest by then, and back.
fn assert_reading_by_pages(pty: &harness::pty::Pty) {
    let mut top = MESSAGES;
    for _ in 0..15 {
        pty.type_keys("<pageup>");
        pty.wait_until("an older page without a gap", |screen| {
            let shown = numbers(screen);
            let is_older = shown.first().is_some_and(|first| *first < top);
            if is_older && is_whole(&shown) && shown.len() > 10 {
                top = shown[0];
            }
            is_older && is_whole(&shown) && shown.len() > 10
        });
    }
    assert!(top < MESSAGES - 200, "{top} after fifteen pages");
    pty.type_keys("<home>");
    pty.wait_until("what was the oldest", |screen| {
        let shown = numbers(screen);
        is_whole(&shown) && shown.first().is_some_and(|first| *first < top)
    });
    pty.type_keys("<end>");
    pty.wait_until("the newest", |screen| numbers(screen).last() == Some(&MESSAGES));
}
