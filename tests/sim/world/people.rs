//! What people do.

use chat_client::{
    engine::{Command, Target},
    store::row::Draft,
};
use protocol::{
    entropy::SimRng,
    ids::{ConversationId, MessageId, Seq},
    message::{event::Set, record::Target as Amended, request::Verdict},
};

use super::World;
use crate::{client::Running, marks::Mark, model::Violation, schedule::Action};

impl World {
    pub(super) fn start_person(&mut self, n: usize) -> Result<(), Violation> {
        if self.people[n].running.is_none() {
            let rng = SimRng::new(self.rng.next_u64());
            self.people[n].start(rng, self.bug);
            let had_some = self.people[n].running.as_ref().is_some_and(Running::has_undecided);
            if self.people[n].life > 1 && had_some {
                self.marks.hit(Mark::OutboxSurvivedCrash);
            }
        }
        self.pump_person(n)
    }

    pub(super) fn act(&mut self, n: usize, action: Action) -> Result<(), Violation> {
        let people = self.people.len();
        let wall = self.wall();
        let now = self.now;
        let mine = matches!(action, Action::Amend(_)).then(|| self.own_message(n)).flatten();
        let padding = ".".repeat(self.text_bytes());
        let Some(running) = &mut self.people[n].running else { return Ok(()) };
        let room = |r: u64| format!("room{r}");
        let command = match action {
            Action::SayInRoom(r) => {
                let text = format!("{n} at {}{padding}", now.as_micros());
                Command::Send { target: Target::Room(room(r)), draft: Draft::text(text) }
            }
            Action::SayInLobby => {
                let text = format!("{n} at {}{padding}", now.as_micros());
                Command::Send { target: Target::Room("lobby".into()), draft: Draft::text(text) }
            }
            Action::SayTo(peer) => {
                let peer = usize::try_from(peer).expect("small") % people;
                if peer == n {
                    return Ok(());
                }
                let target = Target::Person(format!("person{peer}"));
                Command::Send { target, draft: Draft::text(format!("{n} to {peer}")) }
            }
            Action::Create(r) => Command::CreateRoom {
                name: room(r),
                topic: String::new(),
                access: protocol::message::room::Access::ANYONE,
                nonce: [u8::try_from(r).unwrap_or(0); 16],
            },
            Action::Join(r) => Command::Join { room: room(r) },
            Action::Amend(kind) => {
                let Some((conversation, target)) = mine else { return Ok(()) };
                let draft = match kind % 3 {
                    0 => Draft::Edit { target, text: "better".into() },
                    1 => Draft::Delete { target, reason: String::new() },
                    _ => Draft::Reaction { target, emoji: "+".into(), set: Set::On },
                };
                Command::Send { target: Target::Conversation(conversation), draft }
            }
            Action::AcceptAll => {
                let asked: Vec<_> = running
                    .engine
                    .conversations()
                    .filter_map(|c| {
                        let invited =
                            c.info().standing == protocol::message::room::Standing::INVITED;
                        let peer = c.info().peer.as_ref()?.account;
                        invited.then_some((c.info().id, peer))
                    })
                    .collect();
                for (conversation, account) in asked {
                    let admit = protocol::message::request::Admit {
                        conversation,
                        account,
                        verdict: Verdict::Yes,
                    };
                    running.engine.handle_command(now, wall, Command::Ask(admit.into()));
                }
                return self.pump_person(n);
            }
            Action::Older => {
                let Some(conversation) = running.engine.conversations().next().map(|c| c.info().id)
                else {
                    return Ok(());
                };
                Command::Older { conversation }
            }
            Action::Reconnect => Command::Reconnect,
        };
        running.engine.handle_command(now, wall, command);
        self.pump_person(n)
    }

    /// How much somebody has to say this time.
    fn text_bytes(&mut self) -> usize {
        if self.text_bytes_max == 0 {
            return 0;
        }
        usize::try_from(self.rng.below(self.text_bytes_max as u64)).expect("small")
    }

    /// A message of this person that is in the log, to act on.
    pub(super) fn own_message(&mut self, n: usize) -> Option<(ConversationId, Amended)> {
        let device = self.people[n].device();
        let own: Vec<(ConversationId, Seq, MessageId)> = self
            .model
            .logs()
            .iter()
            .flat_map(|(conversation, log)| {
                log.iter()
                    .enumerate()
                    .filter(|(_, entry)| entry.id.device == device)
                    .map(|(index, entry)| (*conversation, Seq(index as u64 + 1), entry.id))
            })
            .collect();
        let index = usize::try_from(self.rng.below(own.len() as u64)).expect("an index");
        let (conversation, seq, id) = *own.get(index)?;
        Some((conversation, Amended { seq, id }))
    }
}
