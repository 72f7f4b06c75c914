//! A small world for tests of the model and of the view: fixed clock, names and messages.

use jiff::tz::TimeZone;
use protocol::{
    ids::{AccountId, ConversationId, Counter, DeviceId, MessageId, Seq},
    message::{event::Change, record::Target},
    time::WallTime,
};

use super::{
    App, Colour,
    conversation::{Privacy, Sort, Standing, Summary},
    effect::Effect,
    event::{Data, Event, Page, Place},
    first_run::Setup,
    keymap,
    link::{Faults, Link, LinkState},
    timeline::{Entry, Notice, Said, Sender},
    update,
};

/// 21 November 2026, 14:00 UTC.
pub(crate) const NOON: u64 = 1_795_269_600_000;

pub(crate) fn at(seconds: u64) -> WallTime {
    WallTime::from_millis(NOON + seconds * 1_000)
}

pub(crate) fn id(number: u8) -> ConversationId {
    ConversationId([number; 16])
}

pub(crate) fn target(seq: u64) -> Target {
    Target { seq: Seq(seq), id: message(seq) }
}

pub(crate) fn message(seq: u64) -> MessageId {
    MessageId { device: DeviceId([9; 16]), counter: Counter(seq) }
}

pub(crate) fn room(number: u8, name: &str) -> Summary {
    Summary {
        id: id(number),
        sort: Sort::Room,
        name: name.into(),
        topic: String::new(),
        standing: Standing::Joined,
        unread: 0,
        head: Seq(0),
        read: Seq(0),
        members: 4,
        peer: None,
        active: WallTime::default(),
        privacy: Privacy::RelayCanRead,
    }
}

pub(crate) fn direct(number: u8, name: &str) -> Summary {
    let peer = name.bytes().next().map(|first| AccountId([first; 16]));
    Summary { sort: Sort::Direct, members: 2, peer, ..room(number, name) }
}

/// A record of somebody, `seq` minutes after noon. `ada` is this account.
pub(crate) fn entry(seq: u64, who: &str, said: Said) -> Entry {
    let account = AccountId([who.bytes().next().unwrap_or(0); 16]);
    let sender = match who {
        "ada" => Sender::Me(who.into()),
        "" => Sender::Relay,
        _ => Sender::Person(Some(account), who.into()),
    };
    Entry { seq: Seq(seq), time: at(seq * 60), id: Some(message(seq)), sender, said }
}

pub(crate) fn text(seq: u64, who: &str, words: &str) -> Entry {
    entry(seq, who, Said::Text(words.into(), None))
}

pub(crate) fn notice(seq: u64, subject: &str, change: Change) -> Entry {
    let notice =
        Notice { actor: String::new(), subject: subject.into(), change, reason: String::new() };
    entry(seq, "", Said::Notice(notice))
}

/// A connected client with these conversations, the first of the list on the screen.
pub(crate) fn app(summaries: Vec<Summary>) -> App {
    let mut app = App::new(at(3_600), TimeZone::UTC, Colour::None);
    update(&mut app, Event::Setup(Setup::Ready));
    let link = Link {
        relay: "home".into(),
        name: "ada".into(),
        transport: "tcp".into(),
        round_trip: None,
        state: LinkState::Live,
        faults: Faults::default(),
    };
    update(&mut app, Event::Data(Data::Link(link)));
    update(&mut app, Event::Data(Data::Conversations(summaries)));
    app
}

/// Gives a conversation its newest page.
pub(crate) fn load(app: &mut App, conversation: ConversationId, entries: Vec<Entry>) {
    let page =
        Page { conversation, place: Place::Newest, entries, amends: Vec::new(), is_oldest: true };
    update(app, Event::Data(Data::Page(page)));
}

/// Types keys as [`keymap::typed`] reads them.
pub(crate) fn press(app: &mut App, script: &str) -> Vec<Effect> {
    keymap::typed(script).into_iter().flat_map(|key| update(app, Event::Key(key))).collect()
}
