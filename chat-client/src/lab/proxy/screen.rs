//! The proxy on a screen: what it does, what became of the traffic, and the keys that change it.

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::{
    Frame,
    layout::{Constraint, Layout},
    style::Stylize as _,
    text::{Line, Text},
};

use super::{Counters, Listen, Settings, Totals};
use crate::net::Carrier;

/// One press of a key changes the delay by so much.
const DELAY_STEP: Duration = Duration::from_millis(10);
/// Width of a name before its counters, and of a counter.
const NAME_WIDTH: usize = 14;
const COUNT_WIDTH: usize = 14;
/// Rows of the keys, which are shown in the smallest window.
const KEYS_HEIGHT: u16 = 2;

/// All that is shown.
#[derive(Debug)]
pub struct View<'v> {
    /// Where the proxy is reached.
    pub listen: Listen,
    /// What it leads to.
    pub to: &'v str,
    /// What chance is drawn from.
    pub seed: u64,
    /// How long it has been running.
    pub runs: Duration,
    /// What it does.
    pub settings: &'v Settings,
    /// What became of the traffic.
    pub totals: &'v Totals,
}

/// What a key means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Other settings.
    Change(Change),
    /// Counts from zero.
    Reset,
    /// Ends the proxy.
    Quit,
}

/// What a key changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Loses more, in hundredths, or less.
    Loss(i32),
    /// Delays more.
    Longer,
    /// Delays less.
    Shorter,
    /// Begins a blackout, or ends it.
    Dark,
    /// Switches all faults off, or on again.
    Off,
    /// Resets all connections.
    Cut,
}

impl Change {
    /// Makes it.
    pub fn apply(self, settings: &mut Settings) {
        match self {
            Self::Loss(percent) => settings.add_loss(percent),
            Self::Longer => settings.lengthen(DELAY_STEP),
            Self::Shorter => settings.shorten(DELAY_STEP),
            Self::Dark => settings.is_dark ^= true,
            Self::Off => settings.is_off ^= true,
            Self::Cut => settings.cuts += 1,
        }
    }
}

/// What a key means on this carrier, if it means anything.
pub fn action(key: KeyEvent, carrier: Carrier) -> Option<Action> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
    Some(match (key.code, carrier) {
        (KeyCode::Char('c'), _) if is_control => Action::Quit,
        _ if is_control => return None,
        (KeyCode::Char('q'), _) => Action::Quit,
        (KeyCode::Char('r'), _) => Action::Reset,
        (KeyCode::Char('d'), _) => Action::Change(Change::Longer),
        (KeyCode::Char('D'), _) => Action::Change(Change::Shorter),
        (KeyCode::Char('b'), _) => Action::Change(Change::Dark),
        (KeyCode::Char('o'), _) => Action::Change(Change::Off),
        (KeyCode::Char('+' | '='), Carrier::Udp) => Action::Change(Change::Loss(1)),
        (KeyCode::Char('-'), Carrier::Udp) => Action::Change(Change::Loss(-1)),
        (KeyCode::Char('c'), Carrier::Tcp) => Action::Change(Change::Cut),
        _ => return None,
    })
}

/// Draws it.
pub fn draw(frame: &mut Frame<'_>, view: &View<'_>) {
    let mut lines = head(view);
    lines.extend(counts(view));
    let heights = [Constraint::Min(0), Constraint::Length(KEYS_HEIGHT)];
    let [body, foot] = Layout::vertical(heights).areas(frame.area());
    frame.render_widget(Text::from(lines), body);
    let keys = keys(view.listen.carrier).map(Line::from);
    frame.render_widget(Text::from_iter(keys), foot);
}

fn head<'v>(view: &View<'v>) -> Vec<Line<'v>> {
    let seconds = view.runs.as_secs();
    let runs = format!("{:02}:{:02}", seconds / 60, seconds % 60);
    let title = format!("{} → {}   seed {}   {runs}", view.listen, view.to, view.seed);
    let mut lines = vec![Line::from(title).bold(), Line::default()];
    let [out, back] = &view.settings.faults;
    for (name, faults) in [("out", out), ("back", back)] {
        let line = Line::from(format!("{name:<6}{faults}"));
        lines.push(if view.settings.is_off { line.dim() } else { line });
    }
    lines.push(match (view.settings.is_dark, view.settings.is_off) {
        (true, _) => Line::from("nothing passes: b ends the blackout").reversed(),
        (false, true) => Line::from("all faults are off: o switches them on").reversed(),
        (false, false) => Line::default(),
    });
    lines
}

fn counts(view: &View<'_>) -> Vec<Line<'static>> {
    let Totals { peers, peers_ever, cut, turned_away, ways } = view.totals;
    let mut lines = vec![match view.listen.carrier {
        Carrier::Udp => Line::from(format!("peers {peers}, ever {peers_ever}")),
        Carrier::Tcp => Line::from(format!(
            "connections {peers}, ever {peers_ever}, cut {cut}, turned away {turned_away}"
        )),
    }];
    lines.push(Line::from(row("", "out", "back")).dim());
    for (name, count) in rows(view.listen.carrier) {
        let (out, back) = (count(&ways.out), count(&ways.back));
        let line = Line::from(row(name, &out.to_string(), &back.to_string()));
        lines.push(if out + back == 0 { line.dim() } else { line });
    }
    lines
}

fn row(name: &str, out: &str, back: &str) -> String {
    format!("{name:<NAME_WIDTH$}{out:>COUNT_WIDTH$}{back:>COUNT_WIDTH$}")
}

type Count = fn(&Counters) -> u64;

const fn rows(carrier: Carrier) -> &'static [(&'static str, Count)] {
    match carrier {
        Carrier::Udp => &[
            ("came", |it| it.datagrams),
            ("  bytes", |it| it.bytes),
            ("passed", |it| it.passed),
            ("  bytes", |it| it.passed_bytes),
            ("lost", |it| it.lost),
            ("blackout", |it| it.blackout),
            ("queue full", |it| it.queue_full),
            ("too large", |it| it.too_large),
            ("duplicated", |it| it.duplicated),
            ("corrupted", |it| it.corrupted),
            ("reordered", |it| it.reordered),
            ("no room", |it| it.overflow),
            ("refused", |it| it.refused),
            ("held, bytes", |it| it.held_bytes),
        ],
        Carrier::Tcp => &[
            ("came, bytes", |it| it.bytes),
            ("passed, bytes", |it| it.passed_bytes),
            ("held, bytes", |it| it.held_bytes),
        ],
    }
}

const fn keys(carrier: Carrier) -> [&'static str; 2] {
    let first = match carrier {
        Carrier::Udp => "+ - loss 1 %   d D delay 10 ms   b blackout",
        Carrier::Tcp => "c cut   d D delay 10 ms   b stall",
    };
    [first, "o faults off/on   r counters from zero   q quit"]
}

#[cfg(test)]
mod tests {
    use ratatui::{Terminal, backend::TestBackend};

    use super::*;

    fn shown(listen: &str, settings: &Settings, totals: &Totals) -> String {
        let view = View {
            listen: listen.parse().expect("an address"),
            to: "127.0.0.1:4545",
            seed: 7,
            runs: Duration::from_secs(65),
            settings,
            totals,
        };
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).expect("a test's terminal");
        terminal.draw(|frame| draw(frame, &view)).expect("it draws");
        terminal.backend().to_string()
    }

    fn press(key: char, carrier: Carrier) -> Option<Action> {
        action(KeyEvent::new(KeyCode::Char(key), KeyModifiers::NONE), carrier)
    }

    #[test]
    fn everything_fits_into_the_smallest_usual_terminal() {
        let mut settings = Settings::new(Some("wifi-bad"), &[], &[]).expect("a profile");
        let mut totals = Totals { peers: 1, peers_ever: 2, ..Totals::default() };
        totals.ways.out.lost = 12_345;
        let shown = |settings: &_, totals: &_| shown("udp:127.0.0.1:5000", settings, totals);
        let screen = shown(&settings, &totals);
        for words in [
            "udp 127.0.0.1:5000 → 127.0.0.1:4545   seed 7   01:05",
            "out   delay 5ms, jitter 25ms, loss 10% in bursts of 4, reorder 2% by 20ms",
            "lost                   12345             0",
            "o faults off/on   r counters from zero   q quit",
        ] {
            assert!(screen.contains(words), "{words}\n{screen}");
        }
        Change::Dark.apply(&mut settings);
        assert!(shown(&settings, &totals).contains("b ends the blackout"));
        Change::Dark.apply(&mut settings);
        Change::Off.apply(&mut settings);
        assert!(shown(&settings, &totals).contains("o switches them on"));
    }

    #[test]
    fn a_key_is_shown_where_it_works() {
        for carrier in [Carrier::Udp, Carrier::Tcp] {
            let shown = keys(carrier).join("   ");
            for (key, name) in [
                ('+', "+ - "),
                ('-', "+ - "),
                ('d', "d D "),
                ('D', "d D "),
                ('b', "b "),
                ('c', "c cut"),
            ] {
                assert_eq!(
                    press(key, carrier).is_some(),
                    shown.contains(name),
                    "{key} {carrier:?}"
                );
            }
            for key in ['o', 'r', 'q'] {
                assert!(
                    press(key, carrier).is_some() && shown.contains(&format!("   {key} "))
                        || key == 'o'
                );
            }
            assert_eq!(press('x', carrier), None);
        }
    }

    #[test]
    fn connections_have_no_counts_of_datagrams() {
        let screen = shown("tcp:127.0.0.1:5000", &Settings::default(), &Totals::default());
        assert!(screen.contains("connections 0, ever 0, cut 0, turned away 0"), "{screen}");
        assert!(!screen.contains("lost") && screen.contains("b stall"), "{screen}");
    }
}
