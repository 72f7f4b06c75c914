//! Tells the words of code apart: comments, keywords and so on, by the grammars of
//! [`two_face`].
//!
//! A thread of its own does it, begun with the first block that is shown: loading the grammars takes
//! some milliseconds, the first line of a language more, and somebody else's code may take any time.
//! Nobody waits for it, also not at the end.

use std::{
    ops::ControlFlow,
    sync::{
        LazyLock,
        mpsc::{Receiver as Asks, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use syntect::{
    parsing::{ParseState, Scope, ScopeStack, SyntaxSet},
    util::LinesWithEndings,
};
use tokio::sync::mpsc;

use crate::app::code::{ASKED_MAX, Code, Run, Token};

/// Longest line that is looked at: grammars take more than linear time.
const LINE_BYTES_MAX: usize = 1_000;
/// How long one block may take. What is behind stays plain.
const TIME_MAX: Duration = Duration::from_secs(1);

/// A block and its words.
pub type Highlighted = (Code, Vec<Run>);

/// The thread, as soon as there is one.
pub struct Highlighter {
    asks: Option<SyncSender<Code>>,
    answers: mpsc::Sender<Highlighted>,
    answered: mpsc::Receiver<Highlighted>,
}

impl Default for Highlighter {
    fn default() -> Self {
        // The model asks for no more than this before it has an answer.
        let (answers, answered) = mpsc::channel(ASKED_MAX);
        Self { asks: None, answers, answered }
    }
}

impl Highlighter {
    /// Begins with a block. If that cannot be, it has no words that are known.
    pub fn begin(&mut self, code: Code) {
        if self.asks.is_none() {
            self.asks = begin_thread(self.answers.clone());
        }
        let refused = match &self.asks {
            Some(asks) => asks.try_send(code).err().map(|refused| match refused {
                std::sync::mpsc::TrySendError::Full(code)
                | std::sync::mpsc::TrySendError::Disconnected(code) => code,
            }),
            None => Some(code),
        };
        if let Some(code) = refused {
            // There is room: each of those that were asked for has one answer.
            let _ = self.answers.try_send((code, Vec::new()));
        }
    }

    /// The next block that is done.
    ///
    /// # Cancel safety
    ///
    /// None is lost.
    pub async fn next(&mut self) -> Highlighted {
        match self.answered.recv().await {
            Some(highlighted) => highlighted,
            // Not while this holds a sender.
            None => std::future::pending().await,
        }
    }
}

fn begin_thread(answers: mpsc::Sender<Highlighted>) -> Option<SyncSender<Code>> {
    let (asks, asked) = sync_channel(ASKED_MAX);
    let work = move || _ = answer(&asked, &answers);
    match thread::Builder::new().name("highlight".to_owned()).spawn(work) {
        Ok(_) => Some(asks),
        Err(error) => {
            tracing::warn!(%error, "code stays plain");
            None
        }
    }
}

/// Works until nobody asks, or nobody listens.
fn answer(asked: &Asks<Code>, answers: &mpsc::Sender<Highlighted>) -> ControlFlow<()> {
    let syntaxes = two_face::syntax::extra_newlines();
    for code in asked {
        let runs = runs(&code, &syntaxes, Instant::now() + TIME_MAX);
        if answers.blocking_send((code, runs)).is_err() {
            return ControlFlow::Break(());
        }
    }
    ControlFlow::Continue(())
}

/// The words of a block, as far as time allows; none if nobody knows its language.
fn runs(code: &Code, syntaxes: &SyntaxSet, until: Instant) -> Vec<Run> {
    let mut runs = Vec::new();
    let Some(syntax) = syntaxes.find_syntax_by_token(&code.language) else { return runs };
    let mut state = ParseState::new(syntax);
    let mut scopes = ScopeStack::new();
    let mut start = 0;
    for line in LinesWithEndings::from(&code.text) {
        if line.len() > LINE_BYTES_MAX || Instant::now() > until {
            break;
        }
        let Ok(changes) = state.parse_line(line, syntaxes) else { break };
        let mut at = 0;
        for (next, change) in changes {
            add(&mut runs, &scopes, start + at, start + next);
            at = next;
            if scopes.apply(&change).is_err() {
                return runs;
            }
        }
        add(&mut runs, &scopes, start + at, start + line.len());
        start += line.len();
    }
    runs
}

fn add(runs: &mut Vec<Run>, scopes: &ScopeStack, start: usize, end: usize) {
    let Some(token) = token(scopes).filter(|_| start < end) else { return };
    match runs.last_mut() {
        Some(last) if last.end == start && last.token == token => last.end = end,
        _ => runs.push(Run { start, end, token }),
    }
}

/// What the grammars' names for words are here: of the innermost that is known, the first.
static TOKENS: LazyLock<Vec<(Scope, Option<Token>)>> = LazyLock::new(|| {
    let tokens = [
        ("comment", Some(Token::Comment)),
        ("string", Some(Token::Literal)),
        ("constant", Some(Token::Literal)),
        ("keyword.operator", None),
        ("keyword", Some(Token::Keyword)),
        ("storage", Some(Token::Keyword)),
        ("entity.name", Some(Token::Name)),
        ("entity.other.attribute-name", Some(Token::Name)),
        ("support", Some(Token::Name)),
        ("variable.function", Some(Token::Name)),
        // Code in a text.
        ("meta.interpolation", None),
        ("source", None),
    ];
    let scope = |(name, token)| Scope::new(name).ok().map(|scope| (scope, token));
    tokens.into_iter().filter_map(scope).collect()
});

fn token(scopes: &ScopeStack) -> Option<Token> {
    let known = |scope: &Scope| TOKENS.iter().find(|(prefix, _)| prefix.is_prefix_of(*scope));
    scopes.scopes.iter().rev().find_map(known).and_then(|(_, token)| *token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(language: &str, text: &str) -> Code {
        Code::new(language, text).expect("it is code")
    }

    /// What is one sort of word.
    fn words<'a>(code: &'a Code, runs: &[Run], token: Token) -> Vec<&'a str> {
        let runs = runs.iter().filter(|run| run.token == token);
        runs.map(|run| code.text[run.start..run.end].trim()).collect()
    }

    fn highlighted(code: &Code) -> Vec<Run> {
        let syntaxes = two_face::syntax::extra_newlines();
        // However slow this machine is.
        runs(code, &syntaxes, Instant::now() + Duration::from_secs(600))
    }

    #[test]
    fn the_words_of_usual_languages_are_told_apart() {
        let rust = code("rust", "fn main() {\n    let x = \"日本\"; // why\n}\n");
        let runs = highlighted(&rust);
        assert_eq!(words(&rust, &runs, Token::Keyword), ["fn", "let"]);
        assert_eq!(words(&rust, &runs, Token::Name), ["main"]);
        assert_eq!(words(&rust, &runs, Token::Literal), ["\"日本\""]);
        assert_eq!(words(&rust, &runs, Token::Comment), ["// why"]);
        for language in ["py", "js", "ts", "toml", "json", "sh", "c", "go", "sql", "html", "yaml"] {
            let text = "if x == \"y\": # 1\nkey = \"value\" // 2\n\"a\": 3\nSELECT 1; <b>x</b>";
            assert!(!highlighted(&code(language, text)).is_empty(), "{language}");
        }
    }

    #[test]
    fn what_nobody_knows_or_takes_too_long_stays_plain() {
        let long = format!("let a = 1;\nlet b = {};\nlet c = 1;", "(".repeat(LINE_BYTES_MAX));
        let long = code("rust", &long);
        assert_eq!(words(&long, &highlighted(&long), Token::Keyword), ["let"]);
        assert_eq!(highlighted(&code("no-such-language", "let x = 1;")), []);
        let syntaxes = two_face::syntax::extra_newlines();
        let before = Instant::now();
        let after = before + Duration::from_nanos(1);
        while Instant::now() <= after {}
        assert_eq!(runs(&code("rust", "let x = 1;"), &syntaxes, before), []);
    }

    #[tokio::test]
    async fn blocks_come_back_in_order_and_no_thread_is_begun_without_one() {
        let mut highlighter = Highlighter::default();
        assert!(highlighter.asks.is_none());
        let asked = ["one", "two", "three"].map(|text| code("no-such-language", text));
        for code in &asked {
            highlighter.begin(code.clone());
        }
        for code in asked {
            assert_eq!(highlighter.next().await, (code, Vec::new()));
        }
    }
}
