//! What only the terminal itself knows, asked once, before anything else reads its input.
//!
//! All questions go out together. The last one is for the device attributes, which every terminal
//! answers: its answer says that no other one will come. A terminal that is silent or far away
//! delays the start by [`PATIENCE`] at most; what it says later is for [`Late`].

use std::{
    io::{self, Write as _},
    os::fd::AsFd as _,
    time::{Duration, Instant},
};

use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::read,
};

use crate::app::Background;

/// The colour of the background (OSC 11), then the device attributes (DA1).
const QUESTIONS: &[u8] = b"\x1b]11;?\x1b\\\x1b[c";
/// How long the answers may take in all.
const PATIENCE: Duration = Duration::from_millis(100);
/// Most bytes read while waiting: answers have less than a hundred, the rest somebody typed.
const ANSWERS_BYTES_MAX: usize = 4_096;
/// Longest answer that may come late, in keys.
const LATE_KEYS_MAX: usize = 40;

/// What came of asking.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// The background.
    pub background: Option<Background>,
    /// Everything was answered that will be.
    pub is_complete: bool,
    /// What somebody typed meanwhile.
    pub typed: Vec<KeyEvent>,
}

/// Asks the terminal, which has to be in raw mode.
///
/// # Errors
///
/// If the terminal has gone.
pub fn ask() -> io::Result<Answers> {
    let mut output = io::stdout();
    output.write_all(QUESTIONS)?;
    output.flush()?;
    let stdin = io::stdin();
    let deadline = Instant::now() + PATIENCE;
    let mut heard = Vec::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec { tv_sec: 0, tv_nsec: left.subsec_nanos().into() };
        let mut waiting = [PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN)];
        match poll(&mut waiting, Some(&timeout)) {
            Ok(0) => break,
            Err(rustix::io::Errno::INTR) => continue,
            waited => waited?,
        };
        let mut buffer = [0; 256];
        match read(stdin.as_fd(), &mut buffer)? {
            0 => break,
            count => heard.extend_from_slice(&buffer[..count]),
        }
        if understand(&heard).is_complete || heard.len() > ANSWERS_BYTES_MAX {
            break;
        }
    }
    Ok(understand(&heard))
}

/// Tells answers from keys.
fn understand(heard: &[u8]) -> Answers {
    let mut answers = Answers::default();
    let text = String::from_utf8_lossy(heard);
    let mut rest = text.as_ref();
    while let Some(first) = rest.chars().next() {
        if let Some(body) = rest.strip_prefix("\x1b]") {
            // Ends with BEL or ST; one without an end has not come whole.
            let Some(end) = body.find(['\u{7}', '\u{1b}']) else { break };
            answers.background = background(&body[..end]).or(answers.background);
            rest = body[end..].trim_start_matches("\x1b\\").trim_start_matches('\u{7}');
        } else if let Some(body) = rest.strip_prefix("\x1b[") {
            let Some(end) = body.find(|c: char| ('\u{40}'..='\u{7e}').contains(&c)) else { break };
            answers.is_complete |= body.starts_with('?') && body[end..].starts_with('c');
            // Arrows and the like, typed before there was anything to move, are left out.
            rest = &body[end + 1..];
        } else {
            answers.typed.extend(key(first));
            rest = &rest[first.len_utf8()..];
        }
    }
    answers
}

/// What a plain character means as a key.
fn key(character: char) -> Option<KeyEvent> {
    let code = match character {
        '\r' => KeyCode::Enter,
        '\u{7f}' => KeyCode::Backspace,
        '\u{3}' => return Some(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)),
        '\u{4}' => return Some(KeyEvent::new(KeyCode::Char('d'), KeyModifiers::CONTROL)),
        character if character.is_control() => return None,
        character => KeyCode::Char(character),
    };
    Some(KeyEvent::new(code, KeyModifiers::NONE))
}

/// Reads `11;rgb:RRRR/GGGG/BBBB`, each part of one to four digits.
fn background(answer: &str) -> Option<Background> {
    let colours = answer.strip_prefix("11;")?;
    let colours = colours.strip_prefix("rgb:").or_else(|| colours.strip_prefix("rgba:"))?;
    let part = |part: &str| {
        let full = f64::from(16_u32.checked_pow(u32::try_from(part.len()).ok()?)?.max(2) - 1);
        Some(f64::from(u16::from_str_radix(part, 16).ok()?) / full)
    };
    let mut parts = colours.split('/').map(part);
    let (red, green, blue) = (parts.next()??, parts.next()??, parts.next()??);
    // How bright an eye finds it, ITU-R BT.601.
    let luma = 0.299 * red + 0.587 * green + 0.114 * blue;
    Some(if luma < 0.5 { Background::Dark } else { Background::Light })
}

/// Answers that came too late arrive as keys: `Alt-]`, characters, and `Alt-\` or `C-g`. Nobody
/// typed them, so they must not end up in a message.
#[derive(Debug, Default)]
pub struct Late {
    /// What may be the beginning of an answer.
    held: Vec<Event>,
    answer: String,
}

/// What becomes of an event.
#[derive(Debug, PartialEq)]
pub enum Sorted {
    /// These are not part of an answer.
    Events(Vec<Event>),
    /// It was an answer, or may become one.
    Swallowed(Option<Background>),
}

/// How every answer that can come late begins.
const LATE_BEGINNING: &str = "11;rgb";

impl Late {
    /// Takes the next event of the terminal.
    pub fn sort(&mut self, event: Event) -> Sorted {
        let Event::Key(key) = &event else { return self.give_up(event) };
        let is_alt = key.modifiers == KeyModifiers::ALT;
        let is_bell = key.modifiers == KeyModifiers::CONTROL && key.code == KeyCode::Char('g');
        match key.code {
            KeyCode::Char(']') if is_alt && self.held.is_empty() => {
                self.held.push(event);
                Sorted::Swallowed(None)
            }
            _ if self.held.is_empty() => Sorted::Events(vec![event]),
            KeyCode::Char('\\') if is_alt && self.is_answer() => self.end(),
            KeyCode::Char(_) if is_bell && self.is_answer() => self.end(),
            KeyCode::Char(character) if !is_alt && !is_bell && self.held.len() < LATE_KEYS_MAX => {
                self.answer.push(character);
                if LATE_BEGINNING.starts_with(&self.answer) || self.is_answer() {
                    self.held.push(event);
                    return Sorted::Swallowed(None);
                }
                self.give_up(event)
            }
            _ => self.give_up(event),
        }
    }

    fn is_answer(&self) -> bool {
        self.answer.starts_with(LATE_BEGINNING)
    }

    fn end(&mut self) -> Sorted {
        let answer = std::mem::take(&mut self.answer);
        self.held.clear();
        Sorted::Swallowed(background(&answer))
    }

    /// It was no answer: everything held is what somebody typed.
    fn give_up(&mut self, event: Event) -> Sorted {
        self.answer.clear();
        let mut events = std::mem::take(&mut self.held);
        events.push(event);
        Sorted::Events(events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str) -> Vec<KeyEvent> {
        text.chars().filter_map(key).collect()
    }

    #[test]
    fn answers_are_told_from_keys() {
        let heard = b"he\x1b]11;rgb:ffff/ffff/dddd\x1b\\y\x1b[A\x1b[?62;22c\r";
        let expected = Answers {
            background: Some(Background::Light),
            is_complete: true,
            typed: typed("hey\r"),
        };
        assert_eq!(understand(heard), expected);
        assert!(!understand(b"\x1b]11;rgb:ffff/ff").is_complete);
        assert_eq!(understand(b"\x1b]11;rgb:00/00/00\x07").background, Some(Background::Dark));
    }

    #[test]
    fn any_bytes_are_survived() {
        for heard in
            [&b"\x1b"[..], b"\x1b]", b"\x1b[", b"\xff\xfe", b"\x1b]11;rgb:\x07", b"\x1b]\x1b]\x1b["]
        {
            assert_eq!(understand(heard).background, None);
        }
        assert_eq!(background("11;rgb:12345/0/0"), None);
        assert_eq!(background("11;rgb://"), None);
    }

    fn event(character: char, modifiers: KeyModifiers) -> Event {
        Event::Key(KeyEvent::new(KeyCode::Char(character), modifiers))
    }

    fn feed(late: &mut Late, text: &str) -> Vec<Sorted> {
        text.chars().map(|c| late.sort(event(c, KeyModifiers::NONE))).collect()
    }

    #[test]
    fn a_late_answer_is_swallowed_and_used() {
        let mut late = Late::default();
        assert_eq!(late.sort(event(']', KeyModifiers::ALT)), Sorted::Swallowed(None));
        let swallowed = feed(&mut late, "11;rgb:1e1e/1e1e/2e2e");
        assert!(swallowed.iter().all(|sorted| *sorted == Sorted::Swallowed(None)));
        let end = late.sort(event('\\', KeyModifiers::ALT));
        assert_eq!(end, Sorted::Swallowed(Some(Background::Dark)));
        assert_eq!(feed(&mut late, "a"), [Sorted::Events(vec![event('a', KeyModifiers::NONE)])]);
    }

    #[test]
    fn what_only_begins_like_an_answer_is_given_back() {
        let mut late = Late::default();
        let begin = event(']', KeyModifiers::ALT);
        late.sort(begin.clone());
        feed(&mut late, "1");
        let plain = |c| event(c, KeyModifiers::NONE);
        assert_eq!(
            late.sort(plain('x')),
            Sorted::Events(vec![begin.clone(), plain('1'), plain('x')])
        );
        late.sort(begin.clone());
        assert_eq!(
            late.sort(Event::FocusLost),
            Sorted::Events(vec![begin.clone(), Event::FocusLost])
        );
        late.sort(begin);
        let long = feed(&mut late, &format!("11;rgb:{}", "0".repeat(LATE_KEYS_MAX)));
        assert!(matches!(long.last(), Some(Sorted::Events(_))));
    }
}
