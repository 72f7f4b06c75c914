//! `send`: says something, and returns when the relay has it on its disk.

use std::{
    io::{self, IsTerminal, Read},
    pin::pin,
    time::Duration,
};

use protocol::limits::BODY_BYTES_MAX;
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, BufReader},
    time::timeout,
};

use super::{
    delivery::Delivery,
    json::SentJson,
    session::{PATIENCE, Session, unexpected},
};
use crate::{
    cli,
    node::call::{Answer, Call, CallError, Until},
    output::{Output, Style, tell},
    report::Failure,
    store::row::Draft,
    untrusted::Untrusted,
};

/// The text that stands for standard input.
const STANDARD_INPUT: &str = "-";
/// A line that ends the input of `--lines`, as on a terminal where Ctrl-D is not at hand.
const END_OF_INPUT: &str = "##";
/// Most read of one message: two more bytes than one may have, of which one may be a line break, so
/// that too long a message is refused and not cut.
const INPUT_BYTES_MAX: u64 = BODY_BYTES_MAX as u64 + 2;
/// Messages of `--lines` that wait for the relay at one time.
const UNANSWERED_MAX: usize = 64;

pub(super) async fn run(
    send: cli::Send,
    session: &Session,
    output: &mut Output,
) -> Result<(), Failure> {
    let until = match (send.no_wait, session.timeout()) {
        (true, _) => Until::Queued,
        (false, None) => Until::SentUnlessOffline,
        // Who gives a time wants us to use it.
        (false, Some(_)) => Until::Sent,
    };
    let mut sender = Sender {
        session,
        delivery: Delivery::new(session, send.target, until),
        is_action: send.action,
        limit: session.timeout(),
    };
    let text = send.text.filter(|text| text != STANDARD_INPUT);
    if send.lines {
        return match text {
            None => sender.lines(output).await,
            Some(_) => Err(Failure::Usage("--lines takes no TEXT but standard input".to_owned())),
        };
    }
    let text = match text {
        Some(text) => text,
        None => read_all()?,
    };
    if text.is_empty() {
        return Err(Failure::Usage("the message is empty".to_owned()));
    }
    sender.start(text).await?;
    sender.finish(output).await
}

struct Sender<'a> {
    session: &'a Session,
    delivery: Delivery<'a>,
    is_action: bool,
    /// How long one message may take.
    limit: Option<Duration>,
}

impl Sender<'_> {
    async fn start(&mut self, text: String) -> Result<(), Failure> {
        let draft = if self.is_action { Draft::Action { text } } else { Draft::text(text) };
        self.delivery.start(draft).await
    }

    /// Waits for the oldest message.
    async fn finish(&mut self, output: &mut Output) -> Result<(), Failure> {
        let finish = say_why_it_takes_long(self.session, self.delivery.finish());
        let answer = match self.limit {
            Some(limit) => timeout(limit, finish).await.map_err(|_| Failure::TimeoutQueued)??,
            None => finish.await?,
        };
        let is_json = output.style() == Style::Json;
        match answer {
            Some(Ok(Answer::Sent(sent))) if is_json => output.json(&SentJson::sent(&sent)),
            Some(Ok(Answer::Sent(_))) | None => Ok(()),
            Some(Ok(Answer::Queued { local })) => {
                if is_json {
                    output.json(&SentJson::queued(local.0))?;
                }
                Err(Failure::Queued { why: "--no-wait leaves it in the outbox".to_owned() })
            }
            Some(Ok(other)) => Err(unexpected(&other)),
            // It is durable here: not reaching the relay now is no failure to send.
            Some(Err(CallError::Offline { why })) => Err(Failure::Queued { why }),
            Some(Err(error)) => Err(error.into()),
        }
    }

    /// Every line of standard input as a message of its own, in order.
    async fn lines(&mut self, output: &mut Output) -> Result<(), Failure> {
        let mut input = BufReader::new(tokio::io::stdin());
        let mut outcome = Ok(());
        while let Some(line) = next_line(&mut input).await?.filter(|line| line != END_OF_INPUT) {
            if line.is_empty() {
                continue;
            }
            self.start(line).await?;
            while self.delivery.len() > UNANSWERED_MAX {
                keep_worst(&mut outcome, self.finish(output).await)?;
            }
        }
        while self.delivery.len() > 0 {
            keep_worst(&mut outcome, self.finish(output).await)?;
        }
        outcome
    }
}

/// Waits as long as it takes, and tells a person who waits with us if the reason is a disk.
async fn say_why_it_takes_long<T>(session: &Session, finish: impl Future<Output = T>) -> T {
    let mut finish = pin!(finish);
    if let Ok(outcome) = timeout(PATIENCE, finish.as_mut()).await {
        return outcome;
    }
    if let Ok(Answer::Health(health)) = session.caller().call(Call::Health).await
        && let Some(why) = health.store
    {
        tell(&format!("note: waiting for the local store: {}", Untrusted::new(&why).for_line()));
    }
    finish.await
}

/// The next line of the input, without its end; `None` at the end of all. Of a line that is longer
/// than a message may be, one byte too much: it is refused, and so ends the command.
async fn next_line(input: &mut (impl AsyncBufRead + Unpin)) -> Result<Option<String>, Failure> {
    let mut line = Vec::new();
    let read = input.take(INPUT_BYTES_MAX).read_until(b'\n', &mut line).await;
    match read.map_err(|error| Failure::io("cannot read the messages", error))? {
        0 => Ok(None),
        _ => Ok(Some(text(line)?)),
    }
}

/// A queued message does not keep the next one from being queued behind it; anything else ends the
/// command.
fn keep_worst(outcome: &mut Result<(), Failure>, next: Result<(), Failure>) -> Result<(), Failure> {
    match next {
        Ok(()) => Ok(()),
        Err(queued @ Failure::Queued { .. }) => {
            *outcome = Err(queued);
            Ok(())
        }
        Err(failure) => Err(failure),
    }
}

/// All of standard input as one message, without the line break at its end.
fn read_all() -> Result<String, Failure> {
    if io::stdin().is_terminal() {
        tell("write the message and end it with Ctrl-D");
    }
    let mut bytes = Vec::new();
    io::stdin()
        .lock()
        .take(INPUT_BYTES_MAX)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::io("cannot read the message", error))?;
    text(bytes)
}

fn text(bytes: Vec<u8>) -> Result<String, Failure> {
    let text = String::from_utf8(bytes)
        .map_err(|_| Failure::Usage("the message is not UTF-8".to_owned()))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}
