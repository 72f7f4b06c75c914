//! Keys and screens of the player.

use std::time::Duration;

use crossterm::event::KeyEvent;
use proptest::prelude::*;
use ratatui::{Terminal, backend::TestBackend};

use super::{
    fixture::scenario,
    model::{Flow, KEYS, Player},
    view::view,
};
use crate::{app::Look, app::keymap::typed};

const SIZES: [(u16, u16); 2] = [(80, 24), (200, 50)];

fn player(name: &str, strategies: &[&str]) -> Player {
    Player::new(&scenario(name, strategies)).expect("it keeps the order")
}

fn press(player: &mut Player, keys: &str) -> Flow {
    let mut flow = Flow::Go;
    for key in typed(keys) {
        flow = player.handle_key(key).expect("they keep the order");
    }
    flow
}

fn screen(player: &Player, look: Look, (width, height): (u16, u16)) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("infallible");
    terminal.draw(|frame| view(player, look, frame)).expect("infallible");
    terminal.backend().to_string()
}

fn snapshots(name: &str, player: &Player, look: Look) {
    for (width, height) in SIZES {
        let screen = screen(player, look, (width, height));
        insta::assert_snapshot!(format!("{name}_{width}x{height}"), screen);
    }
}

#[test]
fn a_retransmission_stands_out_and_is_explained() {
    let mut player = player("burst", &["selective-repeat", "ours"]);
    press(&mut player, "nnn");
    snapshots("again", &player, Look::PLAIN);
    press(&mut player, "s");
    snapshots("other_strategy", &player, Look::PLAIN);
}

#[test]
fn the_end_and_the_keys() {
    let mut player = player("lost-ack", &["stop-and-wait"]);
    press(&mut player, "<end>");
    snapshots("end", &player, Look { is_ascii: true, ..Look::PLAIN });
    press(&mut player, "?");
    snapshots("keys", &player, Look::PLAIN);
}

#[test]
fn time_goes_on_as_fast_as_asked_for_and_stops_with_a_step() {
    let mut player = player("tail-loss", &["ours"]);
    let second = Duration::from_secs(1);
    player.handle_time(second);
    assert_eq!(player.now(), second);
    press(&mut player, "+");
    player.handle_time(second);
    assert_eq!((player.now(), player.speed()), (3 * second, 20));
    press(&mut player, "-----------");
    player.handle_time(second);
    assert_eq!((player.now(), player.speed()), (3 * second + second / 10, 1));
    press(&mut player, " ");
    player.handle_time(second);
    assert_eq!(player.now(), 3 * second + second / 10, "it is paused");
    press(&mut player, "<home>");
    assert_eq!((player.now(), player.is_playing()), (Duration::ZERO, false));
}

#[test]
fn steps_go_from_packet_to_packet_and_back() {
    let mut player = player("lost-ack", &["stop-and-wait"]);
    press(&mut player, "<home>..");
    let (two, at) = (player.shown(), player.now());
    press(&mut player, ".");
    assert!(player.shown() > two);
    press(&mut player, ",");
    assert_eq!((player.shown(), player.now()), (two, at));
    press(&mut player, "<home>n");
    let again = player.film().again[0];
    assert_eq!(player.now(), player.film().rows[again].at);
    press(&mut player, "<end>");
    assert_eq!(player.now(), player.film().lasted);
    press(&mut player, " ");
    assert_eq!((player.now(), player.is_playing()), (Duration::ZERO, true), "from the beginning");
}

#[test]
fn the_next_strategy_is_shown_at_the_same_moment() {
    let mut player = player("tail-loss", &["ours", "tcp"]);
    press(&mut player, "n");
    let now = player.now();
    press(&mut player, "s");
    assert_eq!((player.strategy().0.name(), player.now()), ("tcp", now));
    press(&mut player, "s");
    assert_eq!(player.strategy().0.name(), "ours");
}

#[test]
fn every_key_of_the_help_does_something_and_q_leaves() {
    assert_eq!(press(&mut player("burst", &["ours"]), "q"), Flow::Leave);
    assert_eq!(press(&mut player("burst", &["ours"]), "<C-c>"), Flow::Leave);
    for (keys, _) in KEYS {
        for key in keys.split(' ') {
            let mut player = player("burst", &["ours", "tcp"]);
            press(&mut player, "n");
            let state = |player: &Player| {
                format!("{} {}", player.speed(), screen(player, Look::PLAIN, (80, 24)))
            };
            let before = state(&player);
            let script = if key.len() > 1 { format!("<{key}>") } else { key.to_owned() };
            let flow = press(&mut player, &script);
            assert!(flow == Flow::Leave || state(&player) != before, "{key}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn no_size_and_no_keys_break_the_screen(
        width in 1_u16..220,
        height in 1_u16..60,
        seed in any::<u64>(),
        is_ascii in any::<bool>(),
        keys in "[.,ns+ ?-]{0,12}",
    ) {
        let mut scenario = scenario("burst", &["go-back-n", "ours", "kcp"]);
        scenario.experiment.seed = seed;
        scenario.experiment.traffic.messages = 40;
        let mut player = Player::new(&scenario).expect("it keeps the order");
        let keys: Vec<KeyEvent> = typed(&keys);
        for key in keys {
            player.handle_key(key).expect("they keep the order");
            player.handle_time(Duration::from_millis(40));
            screen(&player, Look { is_ascii, ..Look::PLAIN }, (width, height));
        }
    }
}
