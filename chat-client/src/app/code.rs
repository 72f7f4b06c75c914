//! Code in messages, and what its words are: comments, keywords and so on. Only blocks on the screen
//! are looked at. They are shown plainly until that is done, which is not here: it takes a moment.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::effect::Effect;

/// Largest block whose words are told apart: about two hundred lines.
pub const CODE_BYTES_MAX: usize = 8 * 1024;
/// Longest name of a language.
const LANGUAGE_BYTES_MAX: usize = 32;
/// Most blocks that are worked on at one time; the next frame asks for the others.
pub const ASKED_MAX: usize = 8;
/// How much of what is known is kept: far more than the largest screen shows.
const KEPT_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Most blocks that are kept.
const KEPT_MAX: usize = 1_024;

/// A block of code.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Code {
    /// What the person called its language.
    pub language: String,
    /// Its lines.
    pub text: String,
}

impl Code {
    /// A block with what stands behind its opening fence; `None` if that is no language or the block
    /// is too large.
    pub fn new(info: &str, text: &str) -> Option<Self> {
        let language = info.split([' ', ',', '{', '\t']).next().unwrap_or_default();
        let fits = language.len() <= LANGUAGE_BYTES_MAX && text.len() <= CODE_BYTES_MAX;
        let is_code = fits && !language.is_empty() && !text.is_empty();
        is_code.then(|| Self { language: language.to_lowercase(), text: text.to_owned() })
    }
}

/// What a word of code is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// Not for the machine.
    Comment,
    /// A word of the language.
    Keyword,
    /// A text, a number.
    Literal,
    /// The name of a function or a type.
    Name,
}

/// Bytes of a block that are one sort of word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The first.
    pub start: usize,
    /// The one behind the last.
    pub end: usize,
    /// What they are.
    pub token: Token,
}

/// What is known of the words of blocks.
#[derive(Clone, Debug, Default)]
pub struct Highlights {
    known: BTreeMap<Code, Vec<Run>>,
    /// In the order in which they came to be known.
    order: VecDeque<Code>,
    kept_bytes: usize,
    asked: BTreeSet<Code>,
}

impl Highlights {
    /// The words of a block, in order; `None` if they are not known yet.
    pub fn of(&self, code: &Code) -> Option<&[Run]> {
        self.known.get(code).map(Vec::as_slice)
    }

    /// What is to be done about blocks on the screen that are not known.
    pub(super) fn ask(&mut self, shown: Vec<Code>) -> Vec<Effect> {
        let mut effects = Vec::new();
        for code in shown {
            if self.asked.len() < ASKED_MAX
                && !self.known.contains_key(&code)
                && self.asked.insert(code.clone())
            {
                effects.push(Effect::Highlight(code));
            }
        }
        effects
    }

    /// Takes the words of a block; none, if nothing can be said of it.
    pub(super) fn take(&mut self, code: Code, runs: Vec<Run>) {
        self.asked.remove(&code);
        self.kept_bytes += size(&code, &runs);
        if self.known.insert(code.clone(), runs).is_none() {
            self.order.push_back(code);
        }
        while self.order.len() > KEPT_MAX || self.kept_bytes > KEPT_BYTES_MAX {
            let Some(oldest) = self.order.pop_front() else { break };
            if let Some(runs) = self.known.remove(&oldest) {
                self.kept_bytes -= size(&oldest, &runs);
            }
        }
    }
}

const fn size(code: &Code, runs: &[Run]) -> usize {
    2 * code.text.len() + size_of_val(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Code {
        Code::new("rust", text).expect("it is code")
    }

    #[test]
    fn only_a_named_language_of_a_bearable_size_is_code() {
        assert_eq!(
            Code::new("Rust,no_run", "x").map(|code| code.language).as_deref(),
            Some("rust")
        );
        assert_eq!(Code::new("", "x"), None);
        assert_eq!(Code::new("rust", ""), None);
        assert!(Code::new("c", &"x".repeat(CODE_BYTES_MAX)).is_some());
        assert_eq!(Code::new("c", &"x".repeat(CODE_BYTES_MAX + 1)), None);
        assert!(Code::new(&"c".repeat(LANGUAGE_BYTES_MAX), "x").is_some());
        assert_eq!(Code::new(&"c".repeat(LANGUAGE_BYTES_MAX + 1), "x"), None);
    }

    #[test]
    fn a_block_is_asked_for_once_and_not_many_at_a_time() {
        let mut highlights = Highlights::default();
        let shown: Vec<_> = (0..=ASKED_MAX).map(|number| code(&number.to_string())).collect();
        let asked = highlights.ask(shown.clone());
        assert_eq!(asked.len(), ASKED_MAX);
        assert_eq!(highlights.ask(shown.clone()), []);
        highlights.take(shown[0].clone(), Vec::new());
        assert_eq!(highlights.of(&shown[0]), Some(&[][..]));
        assert_eq!(highlights.ask(shown.clone()), [Effect::Highlight(shown[ASKED_MAX].clone())]);
    }

    #[test]
    fn the_oldest_blocks_are_forgotten() {
        let mut highlights = Highlights::default();
        for number in 0..=KEPT_MAX {
            highlights.take(code(&number.to_string()), Vec::new());
        }
        assert_eq!(highlights.order.len(), KEPT_MAX);
        assert_eq!(highlights.of(&code("0")), None);
        for number in 0..=KEPT_BYTES_MAX / CODE_BYTES_MAX {
            let text = format!("{number:0CODE_BYTES_MAX$}");
            highlights.take(code(&text), Vec::new());
            assert!(highlights.kept_bytes <= KEPT_BYTES_MAX);
        }
        let kept: usize = highlights.known.iter().map(|(code, runs)| size(code, runs)).sum();
        assert_eq!((kept, highlights.known.len()), (highlights.kept_bytes, highlights.order.len()));
    }
}
