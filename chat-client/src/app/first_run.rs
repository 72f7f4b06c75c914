//! The first minute, before there is a relay and a name: choose a name, find a relay on this host
//! or run one, trust its key. No file is edited.
//!
//! ```text
//!   Name ─enter─▶ Looking ─found─▶ Trust ─y─▶ Working ─ready─▶ (conversations)
//!                    └──nobody──▶ Offer ─t/n─▶ Working
//!                                  ▲───────── failed ──┘
//! ```
//!
//! Later starts ask nothing, unless the relay of this home cannot run again.

use super::effect::{Effect, Reach, SetupStep};
use crossterm::event::{KeyCode, KeyEvent};

use super::{action::Action, composer::Composer, keymap};

/// What happened in the set-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setup {
    /// There is no name yet; this one is proposed.
    NameWanted(String),
    /// The relay refused the name, and why.
    NameRefused(String, String),
    /// A relay was found.
    Found(FoundRelay),
    /// None was.
    Nobody,
    /// The last step failed, and why.
    Failed(String),
    /// The relay that this home ran before does not run again, and why.
    NotHosted(String),
    /// There is a relay and a name: the conversations can be shown.
    Ready,
}

/// A relay that nobody has trusted yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundRelay {
    /// Where.
    pub address: String,
    /// What it calls itself.
    pub name: String,
    /// Its key, to be compared.
    pub fingerprint: String,
    /// Another key was trusted at this place before.
    pub is_other_key: bool,
}

/// The screen before the conversations.
#[derive(Clone, Debug)]
pub struct FirstRun {
    /// What is asked now.
    pub step: Step,
    /// The name, as far as it is written.
    pub name: Composer,
    /// What went wrong last.
    pub error: Option<String>,
    /// Whether the name was asked for because the relay refused one.
    is_renaming: bool,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// How to be called.
    Name,
    /// Nothing: looking around.
    Looking,
    /// Whether to trust a relay.
    Trust(FoundRelay),
    /// Whether to run one.
    Offer,
    /// Whether to go on without the relay of this home.
    NotHosted,
    /// Nothing: doing it.
    Working(&'static str),
}

/// What is asked, in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Question {
    /// How things are.
    pub(crate) heading: &'static str,
    /// Something alarming about it.
    pub(crate) alarm: Option<&'static str>,
    /// What is known: what, and its value. Foreign text.
    pub(crate) facts: Vec<(&'static str, String)>,
    /// What there is to know before answering.
    pub(crate) words: String,
    /// The keys that answer, and what they mean.
    pub(crate) keys: &'static [(&'static str, &'static str)],
}

impl Step {
    /// What is asked.
    pub(crate) fn question(&self) -> Question {
        let blank = Question::default();
        match self {
            Self::Name => Question {
                heading: "Welcome.",
                words: "How should others call you? It can be changed later with /nick.".to_owned(),
                ..blank
            },
            Self::Looking => {
                Question { words: "Looking for a relay on this machine…".to_owned(), ..blank }
            }
            Self::Working(what) => Question {
                words: format!("{}{}…", what[..1].to_uppercase(), &what[1..]),
                ..blank
            },
            Self::Trust(relay) => Question {
                heading: "There is a relay on this machine.",
                alarm: relay
                    .is_other_key
                    .then_some("It is not the relay you know: that one did not answer."),
                facts: vec![
                    ("name", relay.name.clone()),
                    ("address", relay.address.clone()),
                    ("key", relay.fingerprint.clone()),
                ],
                words: "Compare the key with the one that the relay printed when it started. \
                        Whoever runs the relay can read open rooms."
                    .to_owned(),
                keys: &[
                    ("y", "trust this key and join"),
                    ("h", "run another relay here instead"),
                    ("q", "leave"),
                ],
            },
            Self::Offer => Question {
                heading: "No relay is known here.",
                words: "Run one in this window? It keeps its messages and lives as long as the \
                        window."
                    .to_owned(),
                keys: &[
                    ("t", "for this machine only"),
                    ("n", "for this network"),
                    ("r", "look again"),
                    ("q", "leave (or start with --relay HOST or an invitation)"),
                ],
                ..blank
            },
            Self::NotHosted => Question {
                heading: "The relay of this home does not run.",
                words: "Until it does, what was said can be read here, and what you say waits."
                    .to_owned(),
                keys: &[
                    ("r", "try again"),
                    ("o", "open the conversations without it"),
                    ("q", "leave"),
                ],
                ..blank
            },
        }
    }
}

impl FirstRun {
    /// Begins by looking around.
    pub fn new() -> Self {
        Self { step: Step::Looking, name: Composer::default(), error: None, is_renaming: false }
    }

    /// Takes what happened. [`Setup::Ready`] is the caller's.
    pub fn on_setup(&mut self, setup: Setup) -> Vec<Effect> {
        match setup {
            Setup::NameWanted(proposal) => {
                self.name.replace(&proposal);
                self.step = Step::Name;
            }
            Setup::NameRefused(name, why) => {
                self.name.replace(&name);
                self.error = Some(why);
                self.is_renaming = true;
                self.step = Step::Name;
            }
            Setup::Found(relay) => self.step = Step::Trust(relay),
            Setup::Nobody => self.step = Step::Offer,
            Setup::Failed(why) => {
                self.error = Some(why);
                self.step = Step::Offer;
            }
            Setup::NotHosted(why) => {
                self.error = Some(why);
                self.step = Step::NotHosted;
            }
            Setup::Ready => {}
        }
        Vec::new()
    }

    /// Takes a key.
    pub fn on_key(&mut self, key: KeyEvent) -> Vec<Effect> {
        let action = keymap::lookup(key);
        if matches!(action, Some(Action::Interrupt | Action::DeleteOrLeave)) {
            return vec![Effect::Quit];
        }
        if let Some(Action::Suspend) = action {
            return vec![Effect::Suspend];
        }
        match &self.step {
            Step::Name if action == Some(Action::Submit) => self.on_name(),
            Step::Name => self.on_name_key(key, action),
            Step::Looking | Step::Working(_) => Vec::new(),
            Step::Trust(relay) => match key.code {
                KeyCode::Char('y') => {
                    let step = SetupStep::Trust {
                        address: relay.address.clone(),
                        fingerprint: relay.fingerprint.clone(),
                        name: self.name.text(),
                    };
                    self.work("connecting", step)
                }
                KeyCode::Char('h') => {
                    self.step = Step::Offer;
                    Vec::new()
                }
                KeyCode::Char('q') => vec![Effect::Quit],
                _ => Vec::new(),
            },
            Step::Offer => match key.code {
                KeyCode::Char('t') => self.host(Reach::Machine),
                KeyCode::Char('n') => self.host(Reach::Network),
                KeyCode::Char('r') => self.work("looking for a relay", SetupStep::Find),
                KeyCode::Char('q') => vec![Effect::Quit],
                _ => Vec::new(),
            },
            Step::NotHosted => match key.code {
                KeyCode::Char('r') => self.work("starting the relay", SetupStep::Find),
                KeyCode::Char('o') => self.work("opening", SetupStep::Open),
                KeyCode::Char('q') => vec![Effect::Quit],
                _ => Vec::new(),
            },
        }
    }

    fn on_name(&mut self) -> Vec<Effect> {
        let name = self.name.text().trim().to_owned();
        if name.is_empty() {
            self.error = Some("a name has at least one letter".to_owned());
            return Vec::new();
        }
        if self.is_renaming {
            return self.work("asking for the name", SetupStep::Register { name });
        }
        self.work("looking for a relay", SetupStep::Find)
    }

    /// Takes a whole line: a name, where nothing keeps the one that is proposed; else the key that
    /// answers.
    pub fn on_line(&mut self, line: &str) -> Vec<Effect> {
        let line = line.trim();
        if self.step == Step::Name {
            if !line.is_empty() {
                self.name.replace(line);
            }
            return self.on_name();
        }
        let Some(first) = line.chars().next() else { return Vec::new() };
        self.on_key(KeyEvent::from(KeyCode::Char(first.to_ascii_lowercase())))
    }

    /// Whether it waits for an answer.
    pub fn waits(&self) -> bool {
        !matches!(self.step, Step::Looking | Step::Working(_))
    }

    fn on_name_key(&mut self, key: KeyEvent, action: Option<Action>) -> Vec<Effect> {
        match action {
            Some(Action::Edit(edit)) if edit != super::action::Edit::Newline => {
                self.name.edit(edit);
                Vec::new()
            }
            _ => {
                if let Some(character) = keymap::written(key).filter(|c| !c.is_whitespace()) {
                    self.name.write(character);
                }
                Vec::new()
            }
        }
    }

    /// Takes a paste: only a name can be pasted, and only its first line.
    pub fn on_paste(&mut self, pasted: &str) {
        if self.step == Step::Name
            && let Some(line) = pasted.lines().next()
            && let Err(error) = self.name.paste(line)
        {
            self.error = Some(error.to_string());
        }
    }

    fn host(&mut self, reach: Reach) -> Vec<Effect> {
        let name = self.name.text();
        self.work("starting a relay", SetupStep::Host { reach, name })
    }

    fn work(&mut self, what: &'static str, step: SetupStep) -> Vec<Effect> {
        self.error = None;
        self.step = Step::Working(what);
        vec![Effect::Setup(step)]
    }
}

impl Default for FirstRun {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(first_run: &mut FirstRun, script: &str) -> Vec<Effect> {
        keymap::typed(script).into_iter().flat_map(|key| first_run.on_key(key)).collect()
    }

    fn named(name: &str) -> FirstRun {
        let mut first_run = FirstRun::new();
        first_run.on_setup(Setup::NameWanted(name.into()));
        first_run
    }

    #[test]
    fn a_name_then_one_key_hosts_a_relay() {
        let mut first_run = named("ada");
        assert_eq!(press(&mut first_run, "h<enter>"), [Effect::Setup(SetupStep::Find)]);
        first_run.on_setup(Setup::Nobody);
        let host = SetupStep::Host { reach: Reach::Machine, name: "adah".into() };
        assert_eq!(press(&mut first_run, "t"), [Effect::Setup(host)]);
    }

    #[test]
    fn a_key_is_trusted_only_by_its_own_key() {
        let mut first_run = named("bea");
        press(&mut first_run, "<enter>");
        first_run.on_setup(Setup::Found(FoundRelay {
            address: "127.0.0.1:4545".into(),
            name: "home".into(),
            fingerprint: "1234".into(),
            is_other_key: false,
        }));
        assert_eq!(press(&mut first_run, "<enter> tnx"), []);
        let trust = SetupStep::Trust {
            address: "127.0.0.1:4545".into(),
            fingerprint: "1234".into(),
            name: "bea".into(),
        };
        assert_eq!(press(&mut first_run, "y"), [Effect::Setup(trust)]);
    }

    #[test]
    fn a_refused_name_is_asked_again_without_looking_around() {
        let mut first_run = named("ada");
        first_run.on_setup(Setup::NameRefused("ada".into(), "the name is taken".into()));
        let register = SetupStep::Register { name: "ada2".into() };
        assert_eq!(press(&mut first_run, "2<enter>"), [Effect::Setup(register)]);
    }

    #[test]
    fn a_relay_that_cannot_run_again_does_not_lock_its_home() {
        let mut first_run = FirstRun::new();
        first_run.on_setup(Setup::NotHosted("port 4545 is taken by another program".into()));
        assert_eq!(press(&mut first_run, "tny<enter>"), []);
        assert_eq!(press(&mut first_run, "o"), [Effect::Setup(SetupStep::Open)]);
        first_run.on_setup(Setup::NotHosted("port 4545 is taken by another program".into()));
        assert_eq!(press(&mut first_run, "r"), [Effect::Setup(SetupStep::Find)]);
    }

    #[test]
    fn whole_lines_answer_too() {
        let mut first_run = named("ada");
        assert_eq!(first_run.on_line(""), [Effect::Setup(SetupStep::Find)]);
        assert_eq!(first_run.name.text(), "ada");
        assert!(!first_run.waits());
        first_run.on_setup(Setup::Nobody);
        assert!(first_run.waits() && first_run.on_line("what?").is_empty());
        let host = SetupStep::Host { reach: Reach::Network, name: "ada".into() };
        assert_eq!(first_run.on_line("N"), [Effect::Setup(host)]);
    }

    #[test]
    fn an_empty_name_is_not_taken() {
        let mut first_run = named("");
        assert_eq!(press(&mut first_run, " <enter>"), []);
        assert!(first_run.error.is_some());
    }
}
