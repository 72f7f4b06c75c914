//! The first minute, as people have it: two homes that have never seen a relay, two terminals on a
//! machine where none runs, keys and screens.

use harness::{
    machine::{Machine, host, host_for, join, leave, wait_for_lobby},
    pty::Pty,
    screen::{Screen, Size},
};

const USUAL: Size = Size { columns: 80, rows: 24 };
const LARGE: Size = Size { columns: 200, rows: 50 };
const TINY: Size = Size { columns: 20, rows: 5 };

/// Whether a message stands on the screen with this mark behind it.
fn is_marked(screen: &Screen, words: &str, mark: &str) -> bool {
    screen.row(words).is_some_and(|row| row.contains(mark))
}

fn talk(size: Size) {
    let machine = Machine::fresh();
    let mut ada = machine.open("ada", size);
    host(&ada, "ada");
    let mut bea = machine.open("bea", size);
    join(&bea, "bea");

    // Both ways, with the states a message goes through: sent, delivered, read.
    ada.type_keys("hello bea<enter>");
    bea.wait_for("hello bea");
    ada.wait_until("her message read", |screen| is_marked(screen, "hello bea", "✓✓1/1"));
    bea.type_keys("hello ada<enter>");
    ada.wait_for("hello ada");
    bea.wait_until("her message read", |screen| is_marked(screen, "hello ada", "✓✓1/1"));

    // Whoever runs the relay owns its lobby.
    ada.type_keys("/topic packets and tea<enter>");
    bea.wait_for("ada set the topic: packets and tea");
    bea.type_keys("/me waves<enter>");
    ada.wait_for("* bea waves");
    a_stranger_asks(&ada, &bea);
    a_tiny_window_and_back(&ada, size);
    scrolling(&bea, size);

    bea.type_keys("/quit<enter>");
    bea.wait_for_end();
    assert!(bea.is_restored(), "the terminal as it was:\n{}", bea.screen());
    history_survives_a_kill(&machine, &mut ada, size);
    ada.type_keys("/quit<enter>");
    ada.wait_for_end();
    assert!(ada.is_restored(), "the terminal as it was:\n{}", ada.screen());
    assert!(ada.has_modes_as_before(), "keys are echoed again, line by line");
}

fn a_stranger_asks(ada: &Pty, bea: &Pty) {
    bea.type_keys("/msg ada may I ask you something?<enter>");
    // The stranger waits; the other decides.
    ada.wait_for("@bea");
    ada.type_keys("<M-2>");
    ada.wait_for("bea wants to talk");
    ada.wait_for("may I ask you something?");
    ada.type_keys("/accept<enter>");
    ada.wait_until("no question any more", |screen| !screen.shows("wants to talk"));
    ada.type_keys("of course<enter>");
    bea.wait_for("of course");
    for pty in [ada, bea] {
        pty.type_keys("<M-1>");
        pty.wait_for("* bea waves");
    }
}

/// A window of 20 by 5 still shows what is written and said, and nothing is lost by it.
fn a_tiny_window_and_back(ada: &Pty, size: Size) {
    ada.type_keys("draft");
    ada.wait_for("draft");
    ada.resize(TINY).expect("the terminal is there");
    ada.wait_until("the composer in a tiny window", |screen| screen.shows("> draft"));
    ada.resize(size).expect("the terminal is there");
    ada.wait_until("everything again", |screen| {
        screen.shows("> draft") && screen.shows("hello bea") && screen.shows("connected")
    });
    ada.type_keys("<C-u>");
}

/// More than a screen of messages, and back in it by pages.
fn scrolling(bea: &Pty, size: Size) {
    let count = usize::from(size.rows) + 10;
    for number in 0..count {
        bea.type_keys(&format!("line {number:03}<enter>"));
    }
    let newest = format!("line {:03}", count - 1);
    bea.wait_until("the newest sent", |screen| is_marked(screen, &newest, "✓"));
    bea.wait_until("the oldest gone", |screen| !screen.shows("line 000"));
    bea.type_keys("<pageup>");
    bea.wait_until("older messages", |screen| !screen.shows(&newest));
    bea.type_keys("<home>");
    bea.wait_for("hello bea");
    bea.type_keys("<end>");
    bea.wait_for(&newest);
}

/// `SIGKILL` of the client that hosts the relay: the next start needs no questions, and the relay
/// in it has everything.
fn history_survives_a_kill(machine: &Machine, ada: &mut Pty, size: Size) {
    let count = usize::from(size.rows) + 10;
    let newest = format!("line {:03}", count - 1);
    ada.wait_for(&newest);
    ada.kill().expect("it can be killed");
    *ada = machine.open("ada", size);
    ada.wait_for(&newest);
    wait_for_lobby(ada);
    ada.type_keys("back again<enter>");
    ada.wait_until("her message sent", |screen| is_marked(screen, "back again", "✓"));

    // So does a client that was away.
    let bea = machine.open("bea", size);
    bea.wait_for("back again");
    bea.wait_for(&newest);
    ada.wait_until("her message read", |screen| is_marked(screen, "back again", "✓✓1/1"));
}

#[test]
fn two_people_talk_within_a_minute_in_a_usual_window() {
    talk(USUAL);
}

#[test]
fn two_people_talk_within_a_minute_in_a_large_window() {
    talk(LARGE);
}

#[test]
fn two_homes_of_one_login_are_two_people_and_no_name_is_doubted() {
    let machine = Machine::fresh();
    let first = machine.open("a", USUAL);
    first.wait_for("Your name: somebody");
    first.type_keys("<enter>");
    first.wait_for("No relay is known here");
    first.type_keys("t");
    wait_for_lobby(&first);
    let second = machine.open("b", USUAL);
    second.wait_for("Your name: somebody");
    second.type_keys("<enter>");
    wait_for_lobby(&second);
    second.wait_for("somebody2 @");
    first.type_keys("hello<enter>");
    second.type_keys("hello too<enter>");
    for pty in [&first, &second] {
        pty.wait_until("both speak", |screen| {
            is_marked(screen, "hello", "somebody ") && is_marked(screen, "too", "somebody2 ")
        });
        assert!(!pty.screen().contains("(!)"), "{}", pty.screen());
    }
    leave(second);
    leave(first);
}

#[test]
fn leaving_at_the_first_question_leaves_nothing_behind() {
    let machine = Machine::fresh();
    let mut pty = machine.open("ada", USUAL);
    pty.wait_for("Your name");
    pty.type_keys("<C-c>");
    pty.type_keys("<C-c>");
    pty.wait_for_end();
    assert!(pty.is_restored(), "the terminal as it was:\n{}", pty.screen());
}

#[test]
fn a_relay_for_the_network_runs_again_with_its_home() {
    let machine = Machine::fresh();
    let ada = machine.open("ada", USUAL);
    host_for(&ada, "ada", "n");
    ada.type_keys("hello network<enter>");
    ada.wait_until("her message sent", |screen| is_marked(screen, "hello network", "✓"));
    leave(ada);
    let ada = machine.open("ada", USUAL);
    wait_for_lobby(&ada);
    ada.wait_for("hello network");
    // A second window of the same home uses what runs.
    let other = machine.open("ada", USUAL);
    wait_for_lobby(&other);
    other.type_keys("from the other window<enter>");
    ada.wait_for("from the other window");
    // If the first one goes, the other one runs the relay.
    leave(ada);
    wait_for_lobby(&other);
    // What is said in between is said later, or given back to its author.
    other.type_keys("still here<enter>");
    other.wait_for("still here");
    other.type_keys("<C-u>all is well<enter>");
    other.wait_until("her message sent", |screen| is_marked(screen, "all is well", "✓"));
}

#[test]
fn a_relay_whose_port_is_taken_says_so_and_locks_nobody_out() {
    let machine = Machine::fresh();
    let ada = machine.open("ada", USUAL);
    host(&ada, "ada");
    ada.type_keys("mine<enter>");
    ada.wait_until("her message sent", |screen| is_marked(screen, "mine", "✓"));
    leave(ada);
    let bea = machine.open("bea", USUAL);
    host(&bea, "bea");

    let ada = machine.open("ada", USUAL);
    ada.wait_for("port 4545 is taken by another relay");
    ada.type_keys("o");
    ada.wait_for("mine");
    leave(ada);
    let ada = machine.open("ada", USUAL);
    ada.wait_for("port 4545 is taken by another relay");
    leave(bea);
    ada.type_keys("r");
    wait_for_lobby(&ada);
    ada.wait_for("mine");
}

#[test]
fn a_home_that_moved_to_another_relay_hosts_no_more() {
    let machine = Machine::fresh();
    let ada = machine.open("ada", USUAL);
    host(&ada, "ada");
    leave(ada);
    let bea = machine.open("bea", USUAL);
    host(&bea, "bea");
    let invitation = machine.invitation();
    let moved = machine.open_with("ada", USUAL, &["--relay", &invitation]);
    wait_for_lobby(&moved);
    leave(moved);
    let ada = machine.open("ada", USUAL);
    wait_for_lobby(&ada);
    ada.type_keys("hello bea<enter>");
    bea.wait_for("hello bea");
}

/// What was said, as somebody reads it who was not there: no record of an edit, a deletion or a
/// reaction is a line of its own, and people have names.
#[test]
fn a_history_reads_as_its_authors_left_it() {
    let machine = Machine::fresh();
    let ada = machine.open("ada", USUAL);
    host(&ada, "ada");
    let bea = machine.open("bea", USUAL);
    join(&bea, "bea");
    ada.type_keys("helo bea<enter>");
    ada.wait_until("her message sent", |screen| is_marked(screen, "helo bea", "✓"));
    bea.wait_for("helo bea");
    ada.type_keys("/edit hello bea<enter>");
    bea.wait_for("hello bea");
    bea.type_keys("/react 👍<enter>");
    ada.wait_for("👍");
    ada.type_keys("regretted<enter>");
    ada.wait_until("her message sent", |screen| is_marked(screen, "regretted", "✓"));
    bea.wait_for("regretted");
    ada.type_keys("/delete<enter>");
    bea.wait_until("it is gone", |screen| !screen.shows("regretted"));

    let history = machine.run("bea", &["history", "#lobby"]);
    let lines: Vec<&str> = history.lines().collect();
    let is = |line: &str, words: &str| line.ends_with(words);
    let expected = [
        "-- ada joined",
        "-- the relay made ada owner",
        "-- bea joined",
        "<ada> hello bea (edited)",
        "    [👍 1]",
        "<ada> (deleted)",
    ];
    assert_eq!(lines.len(), expected.len(), "{history}");
    assert!(lines.iter().zip(expected).all(|(line, words)| is(line, words)), "{history}");
    assert_eq!(machine.run("bea", &["export", "#lobby", "--format", "text"]), history);
    let last = machine.run("bea", &["history", "#lobby", "-n", "2"]);
    assert_eq!(last.lines().collect::<Vec<_>>(), lines[3..], "two messages, however many records");
    let markdown = machine.run("bea", &["export", "#lobby", "--format", "md"]);
    assert!(markdown.contains("hello bea  \n*\\(edited\\)*  \n👍 1  \n"), "{markdown}");
    // Scripts get every record as it is.
    let json = machine.run("bea", &["history", "#lobby", "--json"]);
    for kind in ["edit", "reaction", "delete", "erased"] {
        assert!(json.contains(&format!("\"kind\":\"{kind}\"")), "{kind} in {json}");
    }
}
