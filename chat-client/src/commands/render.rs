//! A record in plain words, for people and for exports.

use jiff::{Timestamp, tz::TimeZone};
use protocol::{
    ids::AccountId,
    message::{
        event::{Body, Change, Notice, Set},
        room::{Access, AccountInfo, Role},
    },
    time::WallTime,
};

use super::amended::Amended;
use crate::{
    node::call::{Line, SaidView},
    untrusted::Untrusted,
};

/// How a line is set off when a message has several.
const CONTINUATION: &str = "    ";
/// What stands behind words that are not the first ones.
pub(super) const EDITED: &str = "(edited)";

/// As [`lines`], with what has become of the record since: `(edited)` behind its words, and the
/// reactions to it in a line of their own.
pub(super) fn amended_lines(amended: &Amended, zone: &TimeZone) -> Vec<String> {
    let mut lines = lines(&amended.line, zone);
    if amended.is_edited
        && let Some(last) = lines.last_mut()
    {
        last.push(' ');
        last.push_str(EDITED);
    }
    if !amended.reactions.is_empty() {
        let reactions = Untrusted::new(&amended.reaction_words()).for_line();
        lines.push(format!("{CONTINUATION}[{reactions}]"));
    }
    lines
}

/// A record as lines of text fit for a terminal: `2026-11-21 08:23 <ada> hello`.
pub fn lines(line: &Line, zone: &TimeZone) -> Vec<String> {
    let time = local_time(line.time, zone);
    let who = Untrusted::new(speaker(line)).for_line();
    let body = words(line);
    let mut body = Untrusted::new(&body).for_lines();
    let first = body.next().unwrap_or_default();
    let head = match &line.said {
        SaidView::Body(Body::Text(_) | Body::Edit(_)) => format!("{time} <{who}> {first}"),
        SaidView::Body(Body::Notice(_)) => format!("{time} -- {first}"),
        SaidView::Body(Body::Action(_) | Body::Delete(_) | Body::Reaction(..)) => {
            format!("{time} * {who} {first}")
        }
        SaidView::Erased => format!("{time} <{who}> ({first})"),
        SaidView::Body(Body::Unknown(..)) | SaidView::Unreadable => {
            format!("{time} <{who}> [{first}]")
        }
    };
    std::iter::once(head).chain(body.map(|rest| format!("{CONTINUATION}{rest}"))).collect()
}

/// What a record says, in words and untreated: the text itself, or a description.
pub fn words(line: &Line) -> String {
    match &line.said {
        SaidView::Body(body) => match body {
            Body::Text(text) | Body::Action(text) => text.text.clone(),
            Body::Edit(text) => match line.target {
                Some(target) => format!("(edited {}) {}", target.seq, text.text),
                None => text.text.clone(),
            },
            Body::Delete(reason) => {
                let target = line.target.map(|target| target.seq.to_string()).unwrap_or_default();
                let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
                format!("deleted {target}{why}")
            }
            Body::Reaction(emoji, set) => {
                let target = line.target.map(|target| target.seq.to_string()).unwrap_or_default();
                match set {
                    Set::On => format!("reacted {emoji} to {target}"),
                    Set::Off => format!("took {emoji} back from {target}"),
                }
            }
            Body::Notice(notice) => notice_words(notice, &line.named),
            Body::Unknown(kind, _) => format!("needs a newer version (kind {kind})"),
        },
        SaidView::Erased => "deleted".to_owned(),
        SaidView::Unreadable => "unreadable".to_owned(),
    }
}

/// Who said it: the person's name, or the device while nobody knows whose it is.
pub fn speaker(line: &Line) -> &str {
    match (&line.sender, &line.said) {
        (Some(person), _) => &person.name,
        (None, SaidView::Body(Body::Notice(_))) => "relay",
        (None, SaidView::Body(_) | SaidView::Erased | SaidView::Unreadable) => "somebody",
    }
}

/// A time as the person's clock on the wall has it.
pub fn local_time(time: WallTime, zone: &TimeZone) -> String {
    let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    match Timestamp::from_millisecond(millis) {
        Ok(time) => time.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => millis.to_string(),
    }
}

fn notice_words(notice: &Notice, named: &[AccountInfo]) -> String {
    let name = |who: Option<AccountId>| {
        let Some(who) = who else { return "the relay".to_owned() };
        let known = named.iter().find(|person| person.account == who);
        // Somebody who came, said nothing and left: no list has their name any more.
        known.map_or_else(|| "somebody".to_owned(), |person| person.name.clone())
    };
    let (actor, subject) = (name(notice.actor), name(notice.subject));
    let until = |until: &Option<WallTime>| {
        until.map(|until| format!(" until {}", super::json::rfc3339(until))).unwrap_or_default()
    };
    let what = match &notice.change {
        Change::Created => format!("{actor} founded the conversation"),
        Change::Joined => format!("{subject} joined"),
        Change::Left => format!("{subject} left"),
        Change::Kicked => format!("{actor} removed {subject}"),
        Change::Banned(time) => format!("{actor} banned {subject}{}", until(time)),
        Change::Unbanned => format!("{actor} lifted the ban on {subject}"),
        Change::Muted(time) => format!("{actor} muted {subject}{}", until(time)),
        Change::Unmuted => format!("{actor} gave {subject} their voice back"),
        Change::Role(role) => format!("{actor} made {subject} {}", role_name(*role)),
        Change::Topic(topic) if topic.is_empty() => format!("{actor} took the topic away"),
        Change::Topic(topic) => format!("{actor} set the topic: {topic}"),
        Change::Access(access) => format!("{actor} opened the room to {}", access_name(*access)),
        Change::Invited => format!("{actor} invited {subject}"),
    };
    if notice.reason.is_empty() { what } else { format!("{what} ({})", notice.reason) }
}

/// A role, in a word.
pub const fn role_name(role: Role) -> &'static str {
    match role {
        Role::MEMBER => "member",
        Role::MODERATOR => "moderator",
        Role::OWNER => "owner",
        Role(_) => "unknown role",
    }
}

/// Who may join, in words.
pub const fn access_name(access: Access) -> &'static str {
    match access {
        Access::ANYONE => "anyone",
        Access::APPROVED => "whom a moderator admits",
        Access::INVITED => "whom a member invites",
        Access(_) => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use protocol::{
        ids::{Counter, DeviceId, MessageId, Seq},
        message::{event::Text, ext::Ext, record::Class},
    };

    use super::*;

    fn line(sender: &str, body: Body) -> Line {
        let account = AccountId([1; 16]);
        Line {
            seq: Seq(3),
            time: WallTime::from_millis(1_795_249_391_007),
            id: Some(MessageId { device: DeviceId([2; 16]), counter: Counter(1) }),
            sender: Some(AccountInfo { account, name: sender.into(), ext: Ext::none() }),
            class: Class::CONTENT,
            target: None,
            said: SaidView::Body(body),
            named: Vec::new(),
        }
    }

    fn text(text: &str) -> Text {
        let composed_at = WallTime::default();
        Text { text: text.into(), composed_at, reply_to: None, ext: Ext::none() }
    }

    #[test]
    fn foreign_text_cannot_leave_its_place() {
        let hostile = line("eve\u{1b}[2J", Body::Text(text("one\n\u{202e}two\u{7}")));
        assert_eq!(
            lines(&hostile, &TimeZone::UTC),
            ["2026-11-21 08:23:11 <eve␛[2J> one", "    ⟨U+202E⟩two␇"]
        );
    }

    #[test]
    fn what_became_of_a_message_stands_behind_it() {
        let line = line("ada", Body::Text(text("one\ntwo")));
        let reactions = vec![("👍\n".to_owned(), 2), ("🎉".to_owned(), 1)];
        let amended = Amended { line, is_edited: true, reactions };
        assert_eq!(
            amended_lines(&amended, &TimeZone::UTC),
            ["2026-11-21 08:23:11 <ada> one", "    two (edited)", "    [👍␊ 2, 🎉 1]"]
        );
    }

    #[test]
    fn what_was_deleted_says_so() {
        let mut line = line("ada", Body::Text(text("x")));
        line.said = SaidView::Erased;
        assert_eq!(lines(&line, &TimeZone::UTC), ["2026-11-21 08:23:11 <ada> (deleted)"]);
    }

    #[test]
    fn actions_stand_apart_from_words() {
        let action = line("ada", Body::Action(text("waves")));
        assert_eq!(lines(&action, &TimeZone::UTC), ["2026-11-21 08:23:11 * ada waves"]);
    }
}
