//! What a front end holds: calls go in, answers and events come out, wherever the engine runs.

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::call::{Answer, Call, CallError, Event};

/// Calls that may wait for the node at one time; a caller beyond that waits to be heard.
pub(super) const CALLS_MAX: usize = 64;
/// Events that may wait for one front end. One that falls further behind is told
/// [`Event::Missed`] and asks again for what it shows.
pub(super) const EVENTS_MAX: usize = 1_024;

/// A call on its way to the node, with the place its answer goes.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) call: Call,
    pub(super) answer: oneshot::Sender<Result<Answer, CallError>>,
}

/// The node of this home, as its front end sees it.
#[derive(Debug)]
pub struct Handle {
    caller: Caller,
    events: mpsc::Receiver<Event>,
    owner: Option<OwnerTask>,
}

/// The owner's task in this process, if this process is the owner.
#[derive(Debug)]
pub(super) struct OwnerTask {
    pub(super) closing: oneshot::Sender<()>,
    pub(super) task: JoinHandle<()>,
}

impl Handle {
    pub(super) const fn new(
        calls: mpsc::Sender<Pending>,
        events: mpsc::Receiver<Event>,
        owner: Option<OwnerTask>,
    ) -> Self {
        Self { caller: Caller { calls }, events, owner }
    }

    /// Asks the node and waits for its answer.
    ///
    /// # Errors
    ///
    /// As the call says, and [`CallError::OwnerGone`] if the node ended meanwhile.
    ///
    /// # Cancel safety
    ///
    /// A call that was heard takes effect whether or not somebody waits for the answer.
    pub async fn call(&self, call: Call) -> Result<Answer, CallError> {
        self.caller.call(call).await
    }

    /// The next event, or `None` once the node has ended.
    ///
    /// # Cancel safety
    ///
    /// No event is lost.
    pub async fn next_event(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// Ends the node in good order, if it runs in this process: guests get their answers, the relay
    /// hears that we go, the lock is given back. Merely dropping a handle loses nothing either, but
    /// guests have to start over.
    pub async fn close(self) {
        let Self { caller, events, owner } = self;
        drop((caller, events));
        if let Some(OwnerTask { closing, task }) = owner {
            // If the task has ended by itself there is nobody to tell; if it panicked, the hook has
            // said so.
            let _ = closing.send(());
            let _ = task.await;
        }
    }

    /// Whether this process owns the home.
    pub const fn is_owner(&self) -> bool {
        self.owner.is_some()
    }

    /// A second mouth to the same node, for tasks that call while another waits for events.
    pub fn caller(&self) -> Caller {
        self.caller.clone()
    }
}

/// The half of a [`Handle`] that calls. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Caller {
    calls: mpsc::Sender<Pending>,
}

impl Caller {
    /// As [`Handle::call`].
    ///
    /// # Errors
    ///
    /// As [`Handle::call`].
    pub async fn call(&self, call: Call) -> Result<Answer, CallError> {
        self.start(call).await?.answer().await
    }

    /// Makes the node hear a call, in the order of calls, without waiting for its answer.
    ///
    /// # Errors
    ///
    /// [`CallError::OwnerGone`] if the node has ended.
    pub async fn start(&self, call: Call) -> Result<Started, CallError> {
        let (answer, answered) = oneshot::channel();
        let heard = self.calls.send(Pending { call, answer }).await;
        heard.map_err(|_| CallError::OwnerGone)?;
        Ok(Started(answered))
    }
}

/// A call that was heard.
#[derive(Debug)]
pub struct Started(oneshot::Receiver<Result<Answer, CallError>>);

impl Started {
    /// Waits for its answer.
    ///
    /// # Errors
    ///
    /// As [`Handle::call`].
    pub async fn answer(self) -> Result<Answer, CallError> {
        self.0.await.unwrap_or(Err(CallError::OwnerGone))
    }
}
