//! What each question of the client is to the node, step by step. Every step can fail; the words of
//! the failure are the answer then.

use std::time::Duration;

use protocol::{
    ids::{AccountId, ConversationId, MessageId},
    lab::order::Order,
    limits::LIST_ITEMS_MAX,
    message::{
        refusal::RefusalCode,
        request::{
            Admit, Ban, Block, Invite, Kick, ListRooms, Members, Mute, Rename, Reply, Request,
            Resolve, SetRole, SetTopic, Unban, Verdict,
        },
        room::{Access, BanTarget, MemberInfo, Presence, Role, RoomSummary},
    },
    time::WallTime,
};

use super::{
    adapt,
    conversation::{Member, Rank},
    effect::Ask,
    event::Answer,
    inspector,
    link::Faults,
};
use crate::{
    node::{
        Caller,
        call::{Answer as NodeAnswer, Call, CallError, ConversationView, Target, Until},
    },
    store::row::Draft,
};

/// Most pages of one list that are fetched to be shown.
const LIST_PAGES_MAX: usize = 10;

/// Asks, and says what came of it.
///
/// # Errors
///
/// What to tell the person.
pub(super) async fn perform(caller: &Caller, ask: Ask, now: WallTime) -> Result<Answer, String> {
    let node = Asker { caller };
    node.perform(ask, now).await.map_err(|error| error.to_string())
}

struct Asker<'a> {
    caller: &'a Caller,
}

impl Asker<'_> {
    async fn perform(&self, ask: Ask, now: WallTime) -> Result<Answer, CallError> {
        let done = |text: &str| Ok(Answer::Done(text.to_owned()));
        match ask {
            Ask::Join(room) => self.join(room).await,
            Ask::Leave(conversation) => {
                self.caller.call(Call::Leave { conversation }).await?;
                done("")
            }
            Ask::Message(name, text) => self.message(name, text).await,
            Ask::Accept(conversation) => {
                let account = self.peer(conversation).await?;
                self.ask(Admit { conversation, account, verdict: Verdict::Yes }).await?;
                done("")
            }
            Ask::AcceptName(name, account) => {
                self.caller.call(Call::AcceptName { name, account }).await?;
                done("")
            }
            Ask::Topic(conversation, topic) => {
                self.ask(SetTopic { conversation, topic }).await?;
                done("")
            }
            Ask::Rename(name) => {
                self.ask(Rename { name: name.clone() }).await?;
                Ok(Answer::Done(format!("you are {name} now")))
            }
            Ask::Members(conversation) => self.members(conversation).await,
            Ask::Rooms(filter) => self.rooms(filter).await,
            Ask::Invite(conversation, name) => {
                let account = self.resolve(&name).await?;
                self.ask(Invite { conversation, account }).await?;
                Ok(Answer::Done(format!("{name} is invited")))
            }
            Ask::Kick(conversation, name, reason) => {
                let account = self.resolve(&name).await?;
                self.ask(Kick { conversation, account, reason }).await?;
                done("")
            }
            Ask::Ban(conversation, name, reason) => {
                let target = BanTarget::Account(self.resolve(&name).await?);
                let until = WallTime::default();
                let ban = Ban { conversation, target, until, reason, dry_run: false };
                self.ask(ban).await?;
                done("")
            }
            Ask::Unban(conversation, name) => {
                let target = BanTarget::Account(self.resolve(&name).await?);
                self.ask(Unban { conversation, target }).await?;
                done("")
            }
            Ask::Mute(conversation, name, minutes) => {
                let until = now.plus(Duration::from_secs(u64::from(minutes) * 60));
                self.mute(conversation, &name, until).await
            }
            Ask::Unmute(conversation, name) => {
                self.mute(conversation, &name, WallTime::default()).await
            }
            Ask::Promote(conversation, name) => {
                self.appoint(conversation, &name, Role::MODERATOR).await
            }
            Ask::Demote(conversation, name) => {
                self.appoint(conversation, &name, Role::MEMBER).await
            }
            Ask::Block(name) => self.block(name, Verdict::Yes).await,
            Ask::Unblock(name) => self.block(name, Verdict::No).await,
            Ask::Connection => {
                let NodeAnswer::Health(health) = self.caller.call(Call::Health).await? else {
                    return done("");
                };
                if health.transport.is_empty() {
                    return done("not connected");
                }
                let transport = ("transport".to_owned(), health.transport);
                let rows = health.faults.into_iter().chain(health.datagrams).chain(health.socket);
                let rows = std::iter::once(transport).chain(rows);
                let lines = rows.map(|(name, value)| format!("{name:<16} {value}")).collect();
                Ok(Answer::List("connection".to_owned(), lines))
            }
            Ask::Trace => Ok(self.trace().await),
            Ask::Life(message) => self.life(message).await,
            Ask::Impair(order) => {
                let is_cut = order == Order::Cut;
                let NodeAnswer::Status(status) = self.caller.call(Call::Impair { order }).await?
                else {
                    return Err(unexpected());
                };
                done(&impaired(&adapt::faults(&status.faults, now), is_cut, now))
            }
            Ask::Reconnect => {
                self.caller.call(Call::Reconnect).await?;
                done("")
            }
        }
    }

    async fn trace(&self) -> Answer {
        match self.caller.call(Call::Trace { rows: inspector::ROWS }).await {
            Ok(NodeAnswer::Trace(trace)) => Answer::Trace(Some(trace)),
            // It is asked for again soon.
            Ok(_) | Err(_) => Answer::Trace(None),
        }
    }

    async fn life(&self, message: MessageId) -> Result<Answer, CallError> {
        match self.caller.call(Call::Life { message }).await? {
            NodeAnswer::Life { steps } => {
                Ok(Answer::List("way of a message".to_owned(), inspector::life(&steps)))
            }
            _ => Err(unexpected()),
        }
    }

    /// Joins the room, or founds it if there is none of that name.
    async fn join(&self, room: String) -> Result<Answer, CallError> {
        let answer = match self.caller.call(Call::Join { room: room.clone() }).await {
            Err(CallError::Refused { refusal }) if is_missing(refusal.code) => {
                let topic = String::new();
                self.caller.call(Call::Create { room, topic, access: Access::ANYONE }).await?
            }
            other => other?,
        };
        Ok(open(&conversation(answer)?))
    }

    /// Opens the conversation with a person. What was to be said is kept if the relay is away.
    async fn message(&self, name: String, text: String) -> Result<Answer, CallError> {
        let opened = self.caller.call(Call::OpenDirect { name: name.clone() }).await;
        let (to, answer) = match opened {
            Ok(answer) => {
                let view = conversation(answer)?;
                (Target::Id(view.info.id), open(&view))
            }
            Err(CallError::Offline { .. }) if !text.is_empty() => {
                let said = format!("kept for @{name} until the relay answers");
                (Target::Person(name), Answer::Done(said))
            }
            Err(error) => return Err(error),
        };
        if !text.is_empty() {
            let draft = Draft::text(text);
            self.caller
                .call(Call::Send { to, draft, composed_at: None, until: Until::Queued })
                .await?;
        }
        Ok(answer)
    }

    async fn mute(
        &self,
        conversation: ConversationId,
        name: &str,
        until: WallTime,
    ) -> Result<Answer, CallError> {
        let account = self.resolve(name).await?;
        self.ask(Mute { conversation, account, until }).await?;
        Ok(Answer::Done(String::new()))
    }

    async fn appoint(
        &self,
        conversation: ConversationId,
        name: &str,
        role: Role,
    ) -> Result<Answer, CallError> {
        let account = self.resolve(name).await?;
        self.ask(SetRole { conversation, account, role }).await?;
        Ok(Answer::Done(String::new()))
    }

    async fn block(&self, name: String, verdict: Verdict) -> Result<Answer, CallError> {
        let account = self.resolve(&name).await?;
        self.ask(Block { account, verdict }).await?;
        Ok(Answer::Done(match verdict {
            Verdict::Yes => format!("{name} can no longer write to you directly"),
            Verdict::No => format!("{name} can write to you again"),
        }))
    }

    async fn members(&self, conversation: ConversationId) -> Result<Answer, CallError> {
        let mut members: Vec<MemberInfo> = Vec::new();
        for _ in 0..LIST_PAGES_MAX {
            let after = members.last().map(|member| member.account.account);
            let Reply::Members(page) = self.ask(Members { conversation, after }).await? else {
                return Err(unexpected());
            };
            let is_last = page.len() < LIST_ITEMS_MAX;
            members.extend(page);
            if is_last {
                break;
            }
        }
        Ok(Answer::Members(conversation, members.iter().map(member).collect()))
    }

    async fn rooms(&self, filter: String) -> Result<Answer, CallError> {
        let mut rooms: Vec<RoomSummary> = Vec::new();
        for _ in 0..LIST_PAGES_MAX {
            let after = rooms.last().map(|room| room.name.clone()).unwrap_or_default();
            let asked = ListRooms { filter: filter.clone(), after };
            let Reply::ListRooms(page) = self.ask(asked).await? else { return Err(unexpected()) };
            let is_last = page.len() < LIST_ITEMS_MAX;
            rooms.extend(page);
            if is_last {
                break;
            }
        }
        let title = format!("{} rooms, /join #NAME", rooms.len());
        Ok(Answer::List(title, rooms.iter().map(describe_room).collect()))
    }

    async fn resolve(&self, name: &str) -> Result<AccountId, CallError> {
        match self.ask(Resolve { name: name.to_owned() }).await? {
            Reply::Resolve(info) => Ok(info.account),
            _ => Err(unexpected()),
        }
    }

    async fn peer(&self, id: ConversationId) -> Result<AccountId, CallError> {
        let view = conversation(self.caller.call(Call::Find { target: Target::Id(id) }).await?)?;
        let not_direct = CallError::Invalid { why: "that is for direct conversations".to_owned() };
        view.info.peer.map(|peer| peer.account).ok_or(not_direct)
    }

    async fn ask(&self, request: impl Into<Request>) -> Result<Reply, CallError> {
        match self.caller.call(Call::Ask { request: request.into() }).await? {
            NodeAnswer::Reply { reply } => Ok(reply),
            _ => Err(unexpected()),
        }
    }
}

const fn is_missing(code: RefusalCode) -> bool {
    matches!(code, RefusalCode::NO_SUCH_CONVERSATION | RefusalCode::NO_SUCH_NAME)
}

fn open(view: &ConversationView) -> Answer {
    Answer::Open(view.info.id)
}

fn conversation(answer: NodeAnswer) -> Result<ConversationView, CallError> {
    match answer {
        NodeAnswer::Conversation(view) => Ok(*view),
        _ => Err(unexpected()),
    }
}

fn unexpected() -> CallError {
    CallError::Invalid { why: "an answer to another question".to_owned() }
}

fn member(info: &MemberInfo) -> Member {
    Member {
        account: info.account.account,
        name: info.account.name.clone(),
        rank: match info.role {
            Role::OWNER => Rank::Owner,
            Role::MODERATOR => Rank::Moderator,
            Role(_) => Rank::Plain,
        },
        standing: adapt::standing(info.standing),
        is_here: info.presence == Presence::ONLINE,
    }
}

/// What is said when the path was made worse, or good again.
fn impaired(faults: &Faults, is_cut: bool, now: WallTime) -> String {
    match faults.describe(now) {
        _ if is_cut => "the connection is cut; it comes back by itself".to_owned(),
        Some(words) => format!("lab: {words}; /net shows what comes of it, /net off ends it"),
        None => "lab: no faults are set".to_owned(),
    }
}

fn describe_room(room: &RoomSummary) -> String {
    let topic = if room.topic.is_empty() { "" } else { "  " };
    let members = if room.members == 1 { "member" } else { "members" };
    format!("#{}  {} {members}{topic}{}", room.name, room.members, room.topic)
}
