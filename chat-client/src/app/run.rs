//! The loop of the client that people use: joins keys, the node and the clock into events, gives them
//! to the model, does what it wants, draws.
//!
//! It sleeps until something happens. A clock ticks only while something on the screen counts, so
//! an idle client costs nothing.

use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use jiff::tz::TimeZone;
use protocol::ids::ConversationId;
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    App, Colour,
    composer::COMPOSER_BYTES_MAX,
    effect::{Effect, SetupStep},
    event::{Data, Event},
    face::Face,
    first_run::Setup,
    session::{Session, wall_clock},
    setup::{self, Outcome},
    update,
};
use crate::{
    config::Config,
    editor::Editor,
    external,
    highlight::Highlighter,
    host::Hosted,
    report::Failure,
    settings::{
        Preferences,
        save::{self, Change},
    },
    store::layout::Layout,
    terminal::EndSignals,
};

/// Most effects that wait for a node: far more than a person causes while one opens.
const UNPERFORMED_MAX: usize = 1_000;

/// Between two frames that nobody waits for.
const FRAME_INTERVAL: Duration = Duration::from_millis(16);

type Step = Pin<Box<dyn Future<Output = Outcome>>>;
/// An editor at work.
type Editing = Pin<Box<dyn Future<Output = Event>>>;

/// Runs the client until the person leaves.
///
/// # Errors
///
/// If there is no terminal, or it has gone.
pub async fn run(config: Config) -> Result<(), Failure> {
    let failed = |error| Failure::io("cannot use the terminal", error);
    let signals = EndSignals::catch().map_err(failed)?;
    let (preferences, problems) = Preferences::load(&config.settings);
    let face = Face::take(preferences.values.ui.linear)?;
    let mut app = App::new(wall_clock(), TimeZone::system(), Colour::None);
    app.abilities = face.abilities();
    app.configure(preferences, &problems);
    let layout = Layout::load(&config.home.layout());
    app.remember(layout);
    let mut client = Client {
        app,
        kept: layout,
        step: Some(Box::pin(setup::begin(config.clone()))),
        config,
        face,
        editing: None,
        highlighter: Highlighter::default(),
        signals,
        session: None,
        hosted: None,
        unperformed: Vec::new(),
        flow: Flow::Go,
        ended_by: None,
    };
    let outcome = client.run().await.map_err(failed);
    let Client { face, session, hosted, ended_by, .. } = client;
    // The terminal first: closing may take a moment, and the person has left.
    drop(face);
    if let Some(session) = session {
        session.end().await;
    }
    if let Some(hosted) = hosted {
        hosted.stop().await;
    }
    match ended_by {
        Some(signal) => Err(signal),
        None => outcome,
    }
}

struct Client {
    app: App,
    config: Config,
    /// The panes as the file has them.
    kept: Layout,
    face: Face,
    /// A program that has the terminal meanwhile.
    editing: Option<Editing>,
    highlighter: Highlighter,
    signals: EndSignals,
    step: Option<Step>,
    session: Option<Session>,
    hosted: Option<Hosted>,
    /// What was wanted while there was no node: between two owners of the home.
    unperformed: Vec<Effect>,
    flow: Flow,
    /// The signal that ended it, for the shell.
    ended_by: Option<Failure>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Go,
    Leave,
}

/// What the loop waits for.
enum Happening {
    Event(Event),
    Signal(Failure),
    Step(Outcome),
    Edited(Event),
    NodeEnded,
    TerminalGone(Option<io::Error>),
}

impl Happening {
    /// Whether the person waits to see what it does. What only happens to come can wait for the next
    /// frame: a busy room is drawn as often as anybody can look.
    const fn is_awaited(&self) -> bool {
        !matches!(self, Self::Event(Event::Data(_) | Event::Clock(_) | Event::Highlighted(..)))
    }
}

impl Client {
    async fn run(&mut self) -> io::Result<()> {
        self.face.set_wheel(self.app.wheel)?;
        self.show()?;
        let mut next_frame = Instant::now();
        while self.flow == Flow::Go {
            let mut happening = Some(self.next().await);
            let mut taken = 0;
            let mut is_awaited = false;
            while let Some(next) = happening.take() {
                is_awaited |= next.is_awaited();
                self.take(next).await?;
                taken += 1;
                if taken == self.face.burst_max() || self.flow == Flow::Leave {
                    break;
                }
                happening = self.next_if_ready().await;
                if happening.is_none() && !is_awaited {
                    happening = timeout_at(next_frame, self.next()).await.ok();
                }
            }
            self.keep_layout();
            self.show()?;
            next_frame = Instant::now() + FRAME_INTERVAL;
        }
        Ok(())
    }

    /// What has happened already, if anything. Asked with this task's own waker: the terminal's
    /// stream keeps the waker of whoever asked first, and one that wakes nobody would leave the
    /// next key unread.
    async fn next_if_ready(&mut self) -> Option<Happening> {
        let mut next = pin!(self.next());
        poll_fn(|context| {
            Poll::Ready(match next.as_mut().poll(context) {
                Poll::Ready(happening) => Some(happening),
                Poll::Pending => None,
            })
        })
        .await
    }

    /// The next thing that happens.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    async fn next(&mut self) -> Happening {
        let changes_in = self.app.changes_in();
        let under_way = self.session.as_ref().map(Session::under_way);
        tokio::select! {
            biased;
            signal = self.signals.next() => Happening::Signal(signal),
            event = self.face.next(&self.app, under_way) => match event {
                Some(Ok(event)) => Happening::Event(event),
                Some(Err(error)) => Happening::TerminalGone(Some(error)),
                None => Happening::TerminalGone(None),
            },
            outcome = done(&mut self.step) => Happening::Step(outcome),
            event = done(&mut self.editing) => Happening::Edited(event),
            (code, runs) = self.highlighter.next() => {
                Happening::Event(Event::Highlighted(code, runs))
            }
            event = heard(&mut self.session, &self.app) => {
                event.map_or(Happening::NodeEnded, Happening::Event)
            }
            () = sleep(changes_in.unwrap_or_default()), if changes_in.is_some() => {
                Happening::Event(Event::Clock(wall_clock()))
            }
        }
    }

    async fn take(&mut self, happening: Happening) -> io::Result<()> {
        match happening {
            Happening::Event(event) => self.update(event)?,
            Happening::Edited(event) => {
                self.face.take_back()?;
                self.update(event)?;
            }
            // Meant for the program that has the terminal, and sent to all who share it.
            Happening::Signal(Failure::Interrupted) if self.editing.is_some() => {}
            Happening::Signal(signal) => {
                self.ended_by = Some(signal);
                self.update(Event::End)?;
            }
            Happening::Step(Outcome::Ask(setup)) => self.update(Event::Setup(setup))?,
            Happening::Step(Outcome::Open(handle, hosted)) => {
                self.hosted = hosted.or(self.hosted.take());
                match Session::begin(handle).await {
                    Ok(session) => {
                        self.session = Some(session);
                        let unperformed = std::mem::take(&mut self.unperformed);
                        self.perform(unperformed)?;
                    }
                    Err(error) => self.update(Event::Setup(Setup::Failed(error.to_string())))?,
                }
            }
            // Another program of this home kept the connection and has ended: take it over.
            Happening::NodeEnded => {
                if let Some(session) = self.session.take() {
                    for event in session.last_words().await {
                        self.update(event)?;
                    }
                }
                self.step = Some(match self.hosted {
                    Some(_) => Box::pin(setup::reopen(self.config.clone())),
                    None => Box::pin(setup::begin(self.config.clone())),
                });
            }
            Happening::TerminalGone(error) => {
                self.flow = Flow::Leave;
                return error.map_or(Ok(()), Err);
            }
        }
        self.claim_hosted();
        Ok(())
    }

    /// Whoever runs a relay is its administrator, as soon as it knows them.
    fn claim_hosted(&mut self) {
        if let (Some(hosted), Some(session)) = (&self.hosted, &mut self.session) {
            session.claim(hosted);
        }
    }

    fn update(&mut self, event: Event) -> io::Result<()> {
        let now = wall_clock();
        let mut effects = update(&mut self.app, Event::Clock(now));
        effects.extend(update(&mut self.app, event));
        self.perform(effects)
    }

    fn perform(&mut self, effects: Vec<Effect>) -> io::Result<()> {
        for effect in effects {
            match effect {
                Effect::Quit => self.flow = Flow::Leave,
                Effect::Suspend => self.face.suspend()?,
                Effect::OpenEditor(id, text) => self.open_editor(id, text)?,
                Effect::Wheel(wheel) => self.face.set_wheel(wheel)?,
                Effect::Redraw => self.face.clear()?,
                Effect::Notify(way, notification) => self.face.notify(way, &notification)?,
                Effect::Highlight(code) => self.highlighter.begin(code),
                Effect::Copy(text) => self.face.copy(&text)?,
                Effect::Hook(words, input) => {
                    if let Some(session) = &self.session {
                        session.try_to("run notify.hook", external::run_hook(words, input));
                    }
                }
                Effect::OpenLink(link) => {
                    if let Some(session) = &self.session {
                        session.try_to("open the link", external::open_link(link));
                    }
                }
                Effect::Save(changes) => {
                    let saved = self.save(changes);
                    self.update(Event::Data(saved))?;
                }
                Effect::Setup(step) => self.set_up(step),
                other => {
                    if let Some(session) = &mut self.session {
                        session.perform(other, self.app.now);
                    } else if self.unperformed.len() < UNPERFORMED_MAX {
                        self.unperformed.push(other);
                    }
                }
            }
        }
        Ok(())
    }

    /// Lends the terminal to the person's editor. Everything but keys and drawing goes on.
    fn open_editor(&mut self, id: ConversationId, text: String) -> io::Result<()> {
        let editor = match Editor::of_environment() {
            Ok(editor) => editor,
            Err(error) => return self.update(Event::Edited(id, Err(error.to_string()))),
        };
        self.face.lend()?;
        let folder = self.config.home.runtime().to_owned();
        self.editing = Some(Box::pin(async move {
            let edited = editor.edit(text, folder, COMPOSER_BYTES_MAX).await;
            Event::Edited(id, edited.map_err(|error| error.to_string()))
        }));
        Ok(())
    }

    /// Writes the panes down if they are not what they were.
    fn keep_layout(&mut self) {
        let Some(layout) = self.app.layout().filter(|layout| *layout != self.kept) else { return };
        self.kept = layout;
        if let Err(error) = layout.save(&self.config.home.layout()) {
            tracing::warn!(%error, "the layout is not kept");
        }
    }

    fn save(&self, changes: Vec<Change>) -> Data {
        let file = &self.config.settings.file;
        let saved = save::save(file, &changes);
        let saved = saved.map(|()| file.display().to_string()).map_err(|error| error.to_string());
        Data::Saved(changes, saved)
    }

    fn set_up(&mut self, step: SetupStep) {
        if let (SetupStep::Register { name }, Some(session)) = (&step, &mut self.session) {
            session.register(name.clone());
            return;
        }
        let name = self.app.first_run.as_ref().map(|first_run| first_run.name.text());
        let step = setup::perform(self.config.clone(), step, name.unwrap_or_default());
        self.step = Some(Box::pin(step));
    }

    fn show(&mut self) -> io::Result<()> {
        for event in self.face.show(&self.app)? {
            let effects = update(&mut self.app, event);
            self.perform(effects)?;
        }
        Ok(())
    }
}

/// Waits for something that may not be under way.
async fn done<T>(work: &mut Option<Pin<Box<dyn Future<Output = T>>>>) -> T {
    match work {
        Some(future) => {
            let outcome = future.await;
            *work = None;
            outcome
        }
        None => std::future::pending().await,
    }
}

async fn heard(session: &mut Option<Session>, app: &App) -> Option<Event> {
    match session {
        Some(session) => session.next(app).await,
        None => std::future::pending().await,
    }
}
