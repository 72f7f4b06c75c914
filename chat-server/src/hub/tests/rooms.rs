//! Rooms and moderation, as people experience them.

use protocol::{
    ids::{ConversationId, Seq},
    message::{
        RelayMessage,
        refusal::RefusalCode,
        request::{
            Admit, Ban, Bans, Invite, Join, Kick, Leave, ListRooms, Members, Mute, Reply,
            SetAccess, SetRole, SetTopic, Unban, Verdict,
        },
        room::{Access, BanTarget, Role, Standing},
        session::Follow,
    },
    time::WallTime,
};

use crate::hub::{
    Input, OperatorCall, ToSession,
    fixture::{Person, Relay, Said},
};

/// A room with an owner, a moderator and a member, in that order.
fn tea(access: Access) -> (Relay, ConversationId, [Person; 3]) {
    let mut relay = Relay::new();
    let people = [relay.join("owner1", 1), relay.join("mod1", 2), relay.join("member1", 3)];
    let room = relay.room(&people[0], "tea", Access::ANYONE);
    for person in &people[1..] {
        assert!(relay.try_ask(person, Join { room: "tea".into() }).is_ok());
    }
    let role = SetRole { conversation: room, account: people[1].account, role: Role::MODERATOR };
    assert!(relay.try_ask(&people[0], role).is_ok());
    assert!(relay.try_ask(&people[0], SetAccess { conversation: room, access }).is_ok());
    (relay, room, people)
}

fn standing(reply: Result<Reply, RefusalCode>) -> Result<Standing, RefusalCode> {
    reply.map(|reply| match reply {
        Reply::Join(info) => info.standing,
        other => panic!("{other:?}"),
    })
}

fn gone(relay: &Relay, person: &Person) -> Option<(Seq, Option<RefusalCode>)> {
    relay.messages(person.session).find_map(|message| match message {
        RelayMessage::ConversationGone(gone) => {
            Some((gone.last, gone.refusal.as_ref().map(|refusal| refusal.code)))
        }
        _ => None,
    })
}

#[test]
fn access_decides_who_comes_in() {
    let join = || Join { room: "tea".into() };
    for (access, expected) in [
        (Access::ANYONE, Ok(Standing::JOINED)),
        (Access::APPROVED, Ok(Standing::REQUESTED)),
        (Access::INVITED, Err(RefusalCode::NOT_ALLOWED)),
    ] {
        let (mut relay, room, [owner, ..]) = tea(access);
        let eve = relay.join("eve", 9);
        assert_eq!(standing(relay.try_ask(&eve, join())), expected);
        let invite = Invite { conversation: room, account: eve.account };
        assert!(relay.try_ask(&owner, invite).is_ok());
        assert_eq!(standing(relay.try_ask(&eve, join())), Ok(Standing::JOINED), "{access:?}");
    }
}

#[test]
fn a_request_is_answered_by_a_moderator_and_seen_by_nobody_else() {
    let (mut relay, room, [_, moderator, member]) = tea(Access::APPROVED);
    let eve = relay.join("eve", 9);
    assert!(relay.try_ask(&eve, Join { room: "tea".into() }).is_ok());
    let mut sees_eve =
        |by: &Person| match relay.try_ask(by, Members { conversation: room, after: None }) {
            Ok(Reply::Members(members)) => members.iter().any(|m| m.account.account == eve.account),
            other => panic!("{other:?}"),
        };
    assert!(sees_eve(&moderator));
    assert!(!sees_eve(&member));
    let answer = |verdict| Admit { conversation: room, account: eve.account, verdict };
    let refused = relay.try_ask(&member, answer(Verdict::Yes));
    assert_eq!(refused, Err(RefusalCode::NOT_ALLOWED));
    assert!(relay.try_ask(&moderator, answer(Verdict::No)).is_ok());
    assert_eq!(gone(&relay, &eve), Some((Seq::ZERO, Some(RefusalCode::NOT_ALLOWED))));
    assert!(relay.try_ask(&eve, Join { room: "tea".into() }).is_ok());
    assert!(relay.try_ask(&moderator, answer(Verdict::Yes)).is_ok());
    assert_eq!(relay.info(&eve, room).standing, Standing::JOINED);
}

#[test]
fn a_kicked_member_may_read_up_to_the_kick_and_come_back() {
    let (mut relay, room, [_, moderator, member]) = tea(Access::ANYONE);
    let kick = Kick { conversation: room, account: member.account, reason: "noise".into() };
    assert!(relay.try_ask(&moderator, kick).is_ok());
    let head = relay.info(&moderator, room).head;
    assert_eq!(gone(&relay, &member), Some((head, Some(RefusalCode::NOT_A_MEMBER))));
    let revoked = relay.said.iter().any(|said| {
        matches!(said, Said::To(to, ToSession::Revoke { last, .. })
            if *to == member.session && *last == head)
    });
    assert!(revoked);
    assert_eq!(relay.send(&member, room, 1, "hey"), Err(RefusalCode::NOT_A_MEMBER));
    assert!(relay.try_ask(&member, Join { room: "tea".into() }).is_ok());
    assert!(relay.send(&member, room, 2, "hey").is_ok());
}

#[test]
fn nobody_acts_against_those_above_or_themselves() {
    let (mut relay, room, [owner, moderator, member]) = tea(Access::ANYONE);
    let kick = |account| Kick { conversation: room, account, reason: String::new() };
    let refused = Err(RefusalCode::NOT_ALLOWED);
    assert_eq!(relay.try_ask(&moderator, kick(owner.account)), refused);
    assert_eq!(relay.try_ask(&moderator, kick(moderator.account)), refused);
    assert_eq!(relay.try_ask(&member, kick(moderator.account)), refused);
    let ban = Ban {
        conversation: room,
        target: BanTarget::Device(owner.device),
        until: WallTime::default(),
        reason: String::new(),
        dry_run: true,
    };
    assert_eq!(relay.try_ask(&moderator, ban), refused);
}

fn ban_range(room: ConversationId, dry_run: bool) -> Ban {
    let mut address = [0; 16];
    address[10..].copy_from_slice(&[0xff, 0xff, 10, 0, 0, 0]);
    Ban {
        conversation: room,
        target: BanTarget::Address { address, bits: 104 },
        until: WallTime::default(),
        reason: "flood".into(),
        dry_run,
    }
}

#[test]
fn a_ban_by_address_names_whom_it_hits_and_keeps_out_who_comes_from_there() {
    let (mut relay, room, [_, moderator, _]) = tea(Access::ANYONE);
    let (eve, outcome) = relay.try_join("eve", 9, "10.0.0.7".parse().expect("an address"));
    assert_eq!(outcome, Ok(()));
    assert!(relay.try_ask(&eve, Join { room: "tea".into() }).is_ok());
    let hit = |reply: Result<Reply, RefusalCode>| match reply {
        Ok(Reply::Ban(hit)) => hit.into_iter().map(|info| info.account).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    let head = relay.info(&moderator, room).head;
    assert_eq!(hit(relay.try_ask(&moderator, ban_range(room, true))), [eve.account]);
    assert_eq!(relay.info(&moderator, room).head, head, "a dry run leaves no trace");
    assert_eq!(relay.info(&eve, room).standing, Standing::JOINED);
    assert_eq!(hit(relay.try_ask(&moderator, ban_range(room, false))), [eve.account]);
    let banned = Err(RefusalCode::BANNED);
    assert_eq!(standing(relay.try_ask(&eve, Join { room: "tea".into() })), banned);
    // Another account from there comes no further.
    let (mallory, _) = relay.try_join("mallory", 10, "10.9.9.9".parse().expect("an address"));
    assert_eq!(standing(relay.try_ask(&mallory, Join { room: "tea".into() })), banned);
    let unban = Unban { conversation: room, target: ban_range(room, false).target };
    assert!(relay.try_ask(&moderator, unban).is_ok());
    assert!(relay.try_ask(&mallory, Join { room: "tea".into() }).is_ok());
}

#[test]
fn a_member_who_comes_from_a_banned_address_neither_reads_nor_speaks() {
    let (mut relay, room, [_, moderator, member]) = tea(Access::ANYONE);
    assert!(relay.try_ask(&moderator, ban_range(room, false)).is_ok());
    let mut roaming = member;
    roaming.session = relay.next_session();
    relay.attach(roaming.session, 3, "10.0.0.8".parse().expect("an address"), None);
    relay.settle();
    assert!(
        !relay.messages(roaming.session).any(|message| {
            matches!(message, RelayMessage::Conversation(info) if info.id == room)
        })
    );
    assert_eq!(relay.send(&roaming, room, 1, "hey"), Err(RefusalCode::BANNED));
    relay.said.clear();
    let follow = Follow { conversation: room, after: Seq::ZERO, chain: [0; 8], newest: 9 };
    relay.input(Input::Follow { session: roaming.session, follow });
    assert_eq!(gone(&relay, &roaming), None);
    relay.settle();
    assert_eq!(gone(&relay, &roaming).and_then(|gone| gone.1), Some(RefusalCode::BANNED));
}

#[test]
fn a_ban_ends_when_it_says() {
    let (mut relay, room, [_, moderator, member]) = tea(Access::ANYONE);
    let minute = std::time::Duration::from_secs(60);
    let ban = Ban {
        conversation: room,
        target: BanTarget::Account(member.account),
        until: relay.wall.plus(minute),
        reason: String::new(),
        dry_run: false,
    };
    assert!(relay.try_ask(&moderator, ban).is_ok());
    let join = || Join { room: "tea".into() };
    assert_eq!(standing(relay.try_ask(&member, join())), Err(RefusalCode::BANNED));
    relay.wait(minute);
    assert_eq!(standing(relay.try_ask(&member, join())), Ok(Standing::JOINED));
    assert_eq!(relay.try_ask(&moderator, Bans { conversation: room }), Ok(Reply::Bans(vec![])));
}

#[test]
fn a_mute_ends_by_itself_and_outlives_leaving() {
    let (mut relay, room, [_, moderator, member]) = tea(Access::ANYONE);
    let minute = std::time::Duration::from_secs(60);
    let until = relay.wall.plus(minute);
    let mute = Mute { conversation: room, account: member.account, until };
    assert!(relay.try_ask(&moderator, mute).is_ok());
    assert_eq!(relay.send(&member, room, 1, "hey"), Err(RefusalCode::MUTED));
    assert!(relay.try_ask(&member, Leave { conversation: room }).is_ok());
    assert!(relay.try_ask(&member, Join { room: "tea".into() }).is_ok());
    assert_eq!(relay.send(&member, room, 2, "hey"), Err(RefusalCode::MUTED));
    relay.wait(minute);
    assert!(relay.send(&member, room, 3, "hey").is_ok());
}

#[test]
fn the_last_owner_cannot_step_down_and_hands_over_when_leaving() {
    let (mut relay, room, [owner, moderator, member]) = tea(Access::ANYONE);
    let down = SetRole { conversation: room, account: owner.account, role: Role::MEMBER };
    assert_eq!(relay.try_ask(&owner, down), Err(RefusalCode::NOT_ALLOWED));
    assert!(relay.try_ask(&owner, Leave { conversation: room }).is_ok());
    assert_eq!(relay.info(&moderator, room).role, Role::OWNER);
    for person in [&member, &moderator] {
        assert!(relay.try_ask(person, Leave { conversation: room }).is_ok());
    }
    assert!(relay.try_ask(&member, Join { room: "tea".into() }).is_ok());
    assert_eq!(relay.info(&member, room).role, Role::OWNER, "who finds it empty has it");
}

#[test]
fn a_topic_reaches_everybody_and_the_log() {
    let (mut relay, room, [_, moderator, member]) = tea(Access::ANYONE);
    let topic = |topic: &str| SetTopic { conversation: room, topic: topic.into() };
    assert_eq!(relay.try_ask(&member, topic("mine")), Err(RefusalCode::NOT_ALLOWED));
    let head = relay.info(&member, room).head;
    assert!(relay.try_ask(&moderator, topic("green")).is_ok());
    let told = relay.messages(member.session).any(
        |message| matches!(message, RelayMessage::Conversation(info) if info.topic == "green"),
    );
    assert!(told);
    assert_eq!(relay.info(&member, room).head, head.next());
    assert!(relay.try_ask(&moderator, topic("green")).is_ok());
    assert_eq!(relay.info(&member, room).head, head.next(), "no change, no notice");
    let long = "x".repeat(protocol::limits::TOPIC_BYTES_MAX + 1);
    assert_eq!(relay.try_ask(&moderator, topic(&long)), Err(RefusalCode::TOO_LARGE));
}

#[test]
fn rooms_are_listed_in_pages_and_invited_ones_only_to_those_who_are_in() {
    let (mut relay, room, [owner, ..]) = tea(Access::INVITED);
    let eve = relay.join("eve", 9);
    let mut names = |by: &Person, after: &str| {
        let list = ListRooms { filter: String::new(), after: after.into() };
        match relay.try_ask(by, list) {
            Ok(Reply::ListRooms(rooms)) => rooms.into_iter().map(|r| r.name).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(names(&owner, ""), ["lobby", "tea"]);
    assert_eq!(names(&owner, "lobby"), ["tea"]);
    assert_eq!(names(&eve, ""), ["lobby"]);
    let _ = room;
}

#[test]
fn a_page_of_rooms_fits_one_packet_whatever_the_topics_are() {
    let mut relay = Relay::with(|config| {
        config.limits.requests = crate::hub::Rate::UNLIMITED;
        config.limits.rooms_per_account_max = 100;
    });
    let ada = relay.join("ada", 1);
    for number in 0..60 {
        let room = relay.room(&ada, &format!("room{number:02}"), Access::ANYONE);
        let topic = "x".repeat(protocol::limits::TOPIC_BYTES_MAX);
        assert!(relay.try_ask(&ada, SetTopic { conversation: room, topic }).is_ok());
    }
    let (mut after, mut found) = (String::new(), 0);
    loop {
        let outcome = relay.ask(&ada, ListRooms { filter: String::new(), after: after.clone() });
        let Ok(Reply::ListRooms(rooms)) = outcome.clone() else { panic!("{outcome:?}") };
        let mut bytes = Vec::new();
        RelayMessage::Reply(1, outcome).append_to(&mut bytes);
        assert!(bytes.len() < protocol::limits::CONTENT_BYTES_MAX);
        found += rooms.len();
        let Some(last) = rooms.last() else { break };
        after.clone_from(&last.name);
    }
    assert_eq!(found, 61, "with the lobby");
}

#[test]
fn administrators_own_the_lobby_and_nobody_else_closes_it() {
    let mut relay = Relay::new();
    let ada = relay.join("ada", 1);
    let lobby = relay.lobby();
    let add = OperatorCall::AdminAdd { name: "ada".into() };
    relay.input(Input::Operator { id: 1, call: add });
    relay.settle();
    assert_eq!(relay.info(&ada, lobby).role, Role::OWNER);
    let close = SetAccess { conversation: lobby, access: Access::INVITED };
    assert_eq!(relay.try_ask(&ada, close), Err(RefusalCode::NOT_ALLOWED));
    let remove = OperatorCall::AdminRemove { name: "ada".into() };
    relay.input(Input::Operator { id: 2, call: remove });
    relay.settle();
    assert_eq!(relay.info(&ada, lobby).role, Role::MEMBER);
}

#[test]
fn limits_hold_at_the_edge_and_are_named() {
    let mut relay = Relay::with(|config| {
        config.limits.members_per_room_max = 2;
        config.limits.rooms_per_account_max = 1;
        config.limits.conversations_per_account_max = 3;
    });
    let people = [relay.join("ada", 1), relay.join("bob", 2), relay.join("eve", 3)];
    relay.room(&people[0], "tea", Access::ANYONE);
    assert!(relay.try_ask(&people[1], Join { room: "tea".into() }).is_ok());
    let refusal = relay.ask(&people[2], Join { room: "tea".into() }).expect_err("full");
    assert_eq!(
        (refusal.code, refusal.detail.as_str()),
        (RefusalCode::LIMIT, "2 members of one room")
    );
    relay.room(&people[1], "coffee", Access::ANYONE);
    let (_, refused) = relay.try_room(&people[0], "milk", Access::ANYONE);
    assert_eq!(refused.map_err(|r| r.detail), Err("1 rooms founded by one person".into()));
    // The lobby, tea and coffee.
    let (_, refused) = relay.try_room(&people[1], "milk", Access::ANYONE);
    assert!(refused.is_err());
}
