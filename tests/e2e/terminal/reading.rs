//! Whoever reads further up is left alone: by messages that come, by another size of the window.

use harness::screen::Screen;

use super::{LARGE, Place, TINY, USUAL, is_marked, say};

/// The messages of the past on the screen, from the top, without hours and names, which stand where
/// a group begins.
fn lines(screen: &Screen) -> Vec<String> {
    let line = |row: String| row.split_once("line ").map(|(_, number)| number.to_owned());
    screen.rows().filter_map(line).collect()
}

#[test]
fn the_place_of_reading_stays_whatever_happens_below_and_to_the_window() {
    let place = Place::new();
    place.say("carl", (1..=120).map(|number| format!("line {number:03}")));
    let ada = place.open("ada", USUAL);
    let bea = place.open("bea", LARGE);
    ada.wait_until("the newest", |screen| screen.shows("line 120") && screen.shows("bea joined"));
    ada.type_keys("<pageup>");
    ada.wait_until("older messages", |screen| !screen.shows("line 120"));
    ada.type_keys("<pageup>");
    let mut before = Vec::new();
    ada.wait_until("still older messages", |screen| {
        before = lines(screen);
        !screen.shows("line 100") && before.len() > 15
    });
    let lowest = format!("line {}", before[before.len() - 1]);

    for number in 0..30 {
        say(&bea, &format!("meanwhile {number:02}"));
    }
    ada.wait_until("she is told of them, and nothing has moved", |screen| {
        screen.shows("30 new · End: newest message") && lines(screen) == before
    });
    ada.resize(TINY).expect("the terminal is there");
    ada.wait_until("the place in a tiny window", |screen| screen.shows(&lowest));
    say(&bea, "the last one");
    ada.resize(LARGE).expect("the terminal is there");
    ada.wait_until("more on a large one", |screen| {
        screen.shows(&lowest) && lines(screen).len() > 30
    });
    ada.resize(USUAL).expect("the terminal is there");
    ada.wait_until("the same again", |screen| lines(screen) == before);
    ada.type_keys("<end>");
    ada.wait_for("the last one");
    bea.wait_until("all of it was read", |screen| is_marked(screen, "the last one", "✓✓"));
}
