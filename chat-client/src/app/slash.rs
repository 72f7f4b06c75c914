//! Slash commands: one table of names, aliases, arguments and help. What is not in it is never
//! sent as text; the nearest name is suggested. `//x` sends `/x`.

use crate::spelling;

/// A command of the table.
pub struct Command {
    /// What to call it, then its other names. Without the slash, in lower case.
    pub names: &'static [&'static str],
    /// Its arguments, as help shows them.
    pub arguments: &'static str,
    /// What help says.
    pub help: &'static str,
    /// What it means.
    pub verb: Verb,
}

/// What a command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Join a room.
    Join,
    /// Leave this conversation.
    Part,
    /// Write to a person.
    Msg,
    /// Speak in the third person.
    Me,
    /// Set or show the topic.
    Topic,
    /// List members.
    Names,
    /// List rooms.
    List,
    /// Ask somebody in.
    Invite,
    /// Remove somebody.
    Kick,
    /// Keep somebody out.
    Ban,
    /// Let somebody return.
    Unban,
    /// Take somebody's voice.
    Mute,
    /// Give it back.
    Unmute,
    /// Make somebody a moderator.
    Op,
    /// Make somebody a plain member.
    Deop,
    /// Take another name.
    Nick,
    /// Take no more messages from somebody.
    Block,
    /// Take them again.
    Unblock,
    /// Accept a stranger's conversation.
    Accept,
    /// Answer a message.
    Reply,
    /// Change an own message.
    Edit,
    /// Erase a message.
    Delete,
    /// Take back what was to be deleted.
    Undo,
    /// React to a message.
    React,
    /// Take a waiting or failed message off the outbox.
    Cancel,
    /// Go to a conversation.
    Buffer,
    /// Search all conversations.
    Search,
    /// List the messages that name this account.
    Mentions,
    /// Go to a place in this conversation.
    Goto,
    /// Go back by a page.
    Older,
    /// What the connection does, or what it is made to suffer.
    Net,
    /// Connect now.
    Reconnect,
    /// What calls from here.
    Notify,
    /// Show or change settings.
    Set,
    /// Show help.
    Help,
    /// Leave the program.
    Quit,
}

const fn command(
    names: &'static [&'static str],
    arguments: &'static str,
    verb: Verb,
    help: &'static str,
) -> Command {
    Command { names, arguments, help, verb }
}

/// All of them, in the order of help.
pub const COMMANDS: &[Command] = &[
    command(&["join", "j"], "#ROOM", Verb::Join, "join a room, or found it"),
    command(&["part", "leave", "close"], "", Verb::Part, "leave this conversation"),
    command(&["msg", "query", "m"], "NAME [TEXT]", Verb::Msg, "write to a person"),
    command(&["me"], "TEXT", Verb::Me, "speak in the third person"),
    command(&["reply", "r"], "TEXT", Verb::Reply, "answer the selected or newest message"),
    command(&["edit"], "[TEXT]", Verb::Edit, "change the selected or newest own message"),
    command(&["delete", "del"], "", Verb::Delete, "erase the selected or newest own message"),
    command(&["undo"], "", Verb::Undo, "keep the message that is about to be erased"),
    command(&["react"], "EMOJI", Verb::React, "react; the same again takes it back"),
    command(&["cancel"], "", Verb::Cancel, "take back the newest waiting or failed message"),
    command(&["buffer", "b", "switch"], "NAME", Verb::Buffer, "go to a conversation"),
    command(
        &["search"],
        "WORDS",
        Verb::Search,
        "search; also from:NAME in:#room after:DATE before:DATE",
    ),
    command(&["mentions"], "", Verb::Mentions, "messages that name you"),
    command(&["goto"], "DATE|SEQ", Verb::Goto, "go to a day, an hour or a record"),
    command(&["older"], "", Verb::Older, "the messages before these"),
    command(&["names", "members"], "", Verb::Names, "who is here"),
    command(&["list"], "[PART]", Verb::List, "rooms of this relay"),
    command(&["topic", "t"], "[TEXT]", Verb::Topic, "show or set the topic"),
    command(&["invite"], "NAME", Verb::Invite, "ask somebody in"),
    command(&["kick"], "NAME [WHY]", Verb::Kick, "remove somebody"),
    command(&["ban"], "NAME [WHY]", Verb::Ban, "remove somebody and keep them out"),
    command(&["unban"], "NAME", Verb::Unban, "let somebody return"),
    command(&["mute"], "NAME [MINUTES]", Verb::Mute, "take somebody's voice, for an hour"),
    command(&["unmute"], "NAME", Verb::Unmute, "give it back"),
    command(&["op"], "NAME", Verb::Op, "make somebody a moderator"),
    command(&["deop"], "NAME", Verb::Deop, "make somebody a plain member"),
    command(&["accept"], "[NAME]", Verb::Accept, "accept a stranger, or a name's new owner"),
    command(&["block", "ignore"], "NAME", Verb::Block, "take no direct messages from somebody"),
    command(&["unblock", "unignore"], "NAME", Verb::Unblock, "take them again"),
    command(&["nick"], "NAME", Verb::Nick, "take another name"),
    command(
        &["net"],
        "[FAULT|off|cut]",
        Verb::Net,
        "what the connection does; or make it worse, as /net loss 10%",
    ),
    command(&["reconnect"], "", Verb::Reconnect, "try to connect now"),
    command(&["notify"], "[LEVEL|test]", Verb::Notify, "notify of all, mentions or nothing (off)"),
    command(&["set"], "[NAME [VALUE]]", Verb::Set, "show or change settings; /set save keeps them"),
    command(&["help", "h"], "[COMMAND]", Verb::Help, "keys and commands"),
    command(&["quit", "exit", "q"], "", Verb::Quit, "leave the program"),
];

/// What a written line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// Words to be sent.
    Words(&'a str),
    /// A command and its arguments.
    Command(Verb, &'a str),
    /// A slash and a name that is not in the table, and the nearest one that is.
    Unknown(&'a str, Option<&'static str>),
}

/// Reads a written line.
pub fn parse(text: &str) -> Line<'_> {
    let Some(rest) = text.strip_prefix('/') else { return Line::Words(text) };
    if rest.starts_with('/') {
        return Line::Words(rest);
    }
    let (name, arguments) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    match find(name) {
        Some(command) => Line::Command(command.verb, arguments.trim()),
        None => Line::Unknown(name, nearest(name)),
    }
}

/// The command of this name, in any case.
pub fn find(name: &str) -> Option<&'static Command> {
    let name = name.to_lowercase();
    COMMANDS.iter().find(|command| command.names.contains(&name.as_str()))
}

/// The command that a verb belongs to.
pub fn of(verb: Verb) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.verb == verb)
}

impl Command {
    /// How to write it.
    pub fn usage(&self) -> String {
        format!("/{} {}", self.names[0], self.arguments).trim_end().to_owned()
    }
}

/// The name that was probably meant.
fn nearest(name: &str) -> Option<&'static str> {
    let names = COMMANDS.iter().flat_map(|command| command.names.iter().copied());
    spelling::nearest(&name.to_lowercase(), names)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_line_is_words_a_command_or_unknown() {
        assert_eq!(parse("hello / there"), Line::Words("hello / there"));
        assert_eq!(parse("//shrug"), Line::Words("/shrug"));
        assert_eq!(parse("/J  #room "), Line::Command(Verb::Join, "#room"));
        assert_eq!(parse("/me\nwaves"), Line::Command(Verb::Me, "waves"));
        assert_eq!(parse("/jion #room"), Line::Unknown("jion", Some("join")));
        assert_eq!(parse("/xyzzy"), Line::Unknown("xyzzy", None));
        assert_eq!(parse("/"), Line::Unknown("", None));
    }

    #[test]
    fn a_beginning_suggests_its_end() {
        assert_eq!(parse("/inv bea"), Line::Unknown("inv", Some("invite")));
    }

    #[test]
    fn no_name_means_two_commands_and_no_verb_is_missing() {
        let mut names = BTreeSet::new();
        for name in COMMANDS.iter().flat_map(|command| command.names) {
            assert!(names.insert(name), "/{name} is there twice");
            assert_eq!(*name, name.to_lowercase());
        }
        assert!(COMMANDS.iter().all(|command| of(command.verb).is_some()));
    }
}
