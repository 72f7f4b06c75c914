//! `rooms`, `join`, `leave`: which conversations there are, and being in them.

use protocol::message::{
    refusal::RefusalCode,
    request::{ListRooms, Reply},
    room::{Kind, RoomSummary, Standing},
};
use serde::Serialize;

use super::{
    json::JSON_VERSION,
    render::access_name,
    room::access,
    session::{Session, unexpected},
};
use crate::{
    cli,
    node::call::{Answer, Call, ConversationView, Target},
    output::{Output, Style, tell},
    report::Failure,
    untrusted::Untrusted,
};

/// A conversation in a listing.
#[derive(Serialize)]
struct RoomJson {
    v: u32,
    conversation: String,
    kind: &'static str,
    title: String,
    topic: String,
    standing: &'static str,
    members: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unread: Option<u64>,
}

impl From<&ConversationView> for RoomJson {
    fn from(known: &ConversationView) -> Self {
        Self {
            v: JSON_VERSION,
            conversation: known.info.id.to_string(),
            kind: kind_name(known.info.kind),
            title: known.title(),
            topic: known.info.topic.clone(),
            standing: standing_name(known.info.standing),
            members: known.info.members,
            head: Some(known.info.head.0),
            unread: Some(known.unread()),
        }
    }
}

impl From<&RoomSummary> for RoomJson {
    fn from(room: &RoomSummary) -> Self {
        Self {
            v: JSON_VERSION,
            conversation: room.id.to_string(),
            kind: kind_name(Kind::OPEN_ROOM),
            title: format!("#{}", room.name),
            topic: room.topic.clone(),
            standing: standing_name(room.standing),
            members: room.members,
            head: None,
            unread: None,
        }
    }
}

impl RoomJson {
    fn line(&self) -> String {
        let title = Untrusted::new(&self.title).for_line();
        let topic = Untrusted::new(&self.topic).for_line();
        let unread = self.unread.map(|unread| format!("\t{unread} unread")).unwrap_or_default();
        format!("{title}\t{}\t{} members{unread}\t{topic}", self.standing, self.members)
    }
}

pub(super) async fn list(
    rooms: &cli::Rooms,
    session: &Session,
    output: &mut Output,
) -> Result<(), Failure> {
    let offline = session.online_if_possible().await;
    let known = session.conversations().await?;
    let mut listed: Vec<RoomJson> = known.iter().map(RoomJson::from).collect();
    if rooms.all {
        session.online().await?;
        let all = all_rooms(session).await?;
        let is_new = |room: &&RoomSummary| known.iter().all(|known| known.info.id != room.id);
        listed.extend(all.iter().filter(is_new).map(RoomJson::from));
    } else if let Err(why) = offline {
        tell(&format!("note: as last known ({})", Untrusted::new(&why).for_line()));
    }
    if listed.is_empty() {
        return Err(Failure::NotFound { what: "conversations".to_owned() });
    }
    for room in &listed {
        match output.style() {
            Style::Json => output.json(room)?,
            Style::Plain => output.line(&room.line())?,
        }
    }
    Ok(())
}

async fn all_rooms(session: &Session) -> Result<Vec<RoomSummary>, Failure> {
    let mut all: Vec<RoomSummary> = Vec::new();
    loop {
        let after = all.last().map(|room| room.name.clone()).unwrap_or_default();
        match session.ask(ListRooms { filter: String::new(), after }).await? {
            Reply::ListRooms(page) if page.is_empty() => return Ok(all),
            Reply::ListRooms(page) => all.extend(page),
            other => return Err(unexpected(&other)),
        }
    }
}

pub(super) async fn join(
    join: cli::Join,
    session: &Session,
    output: &mut Output,
) -> Result<(), Failure> {
    let Target::Room(room) = join.target else {
        return Err(Failure::Usage(format!("{} is no room: write #room", join.target)));
    };
    session.online().await?;
    let joined = session.call(Call::Join { room: room.clone() }).await;
    let answer = match joined {
        Err(failure) if join.create && is_missing(&failure) => {
            let access = access(join.access);
            let create = Call::Create { room: room.clone(), topic: join.topic, access };
            match session.call(create).await {
                // Somebody else has founded it since we asked.
                Err(failure) if is_taken(&failure) => session.call(Call::Join { room }).await?,
                created => created?,
            }
        }
        joined => joined?,
    };
    let Answer::Conversation(conversation) = answer else { return Err(unexpected(&answer)) };
    match output.style() {
        Style::Json => output.json(&RoomJson::from(&*conversation))?,
        Style::Plain => {
            if conversation.info.standing != Standing::JOINED {
                let who = access_name(conversation.info.access);
                tell(&format!("note: asked to join; open to {who}"));
            }
        }
    }
    Ok(())
}

fn is_missing(failure: &Failure) -> bool {
    failure.exit() == crate::exit::Exit::NotFound
}

fn is_taken(failure: &Failure) -> bool {
    matches!(failure, Failure::Refused(refusal) if refusal.code == RefusalCode::NAME_TAKEN)
}

pub(super) async fn leave(target: &Target, session: &Session) -> Result<(), Failure> {
    let conversation = session.find_online(target).await?.info.id;
    match session.call(Call::Leave { conversation }).await? {
        Answer::Done => Ok(()),
        other => Err(unexpected(&other)),
    }
}

/// A stable word for a sort of conversation.
const fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::OPEN_ROOM => "room",
        Kind::DIRECT => "direct",
        Kind::PRIVATE_ROOM => "private",
        Kind(_) => "unknown",
    }
}

/// A stable word for how one stands to a conversation.
pub(super) const fn standing_name(standing: Standing) -> &'static str {
    match standing {
        Standing::JOINED => "joined",
        Standing::INVITED => "invited",
        Standing::REQUESTED => "requested",
        Standing::OUTSIDE => "outside",
        Standing(_) => "unknown",
    }
}
