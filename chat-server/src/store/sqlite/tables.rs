//! The tables for the [`State`]: how each part of it is a row, and reading all of it at start-up.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use protocol::{
    ids::{AccountId, ConversationId, Counter, DeviceId, LogId, Seq},
    message::{
        encoding::{decode_own, encode},
        room::{Access, BanTarget, Kind, Role, Standing},
    },
    time::WallTime,
};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params, types::Type};
use serde::Deserialize;

use super::schema::sql;
use crate::{
    hub::{
        op::{Ban, Membership},
        state::{Account, Conversation, Device, Member, Sender, State},
    },
    store::StoreError,
};

type Result<T> = rusqlite::Result<T>;

/// Stands for a conversation in the tables.
pub(super) type Local = i64;

/// Reads everything; also the number of the last indexed commit.
pub(super) fn load(connection: &Connection) -> std::result::Result<(State, u64), StoreError> {
    let (indexed_upto, log_id) = meta(connection).map_err(sql)?;
    let mut state = State { log_id, ..State::default() };
    load_people(connection, &mut state).map_err(sql)?;
    load_conversations(connection, &mut state).map_err(sql)?;
    Ok((state, indexed_upto))
}

pub(super) fn meta(connection: &Connection) -> Result<(u64, Option<LogId>)> {
    connection.query_row("SELECT indexed_upto, log_id FROM meta", [], |row| {
        let log_id: Option<[u8; 16]> = row.get(1)?;
        Ok((unsigned(row, 0)?, log_id.map(LogId)))
    })
}

pub(super) fn write_meta(
    connection: &Connection,
    indexed_upto: u64,
    log_id: Option<LogId>,
) -> Result<()> {
    let log_id = log_id.map(|log_id| log_id.0);
    connection
        .prepare_cached("UPDATE meta SET indexed_upto = ?1, log_id = ?2")?
        .execute(params![indexed_upto.cast_signed(), log_id])?;
    Ok(())
}

fn load_people(connection: &Connection, state: &mut State) -> Result<()> {
    let mut blocked: BTreeMap<AccountId, BTreeSet<AccountId>> = BTreeMap::new();
    for_each(connection.prepare_cached("SELECT account, whom FROM blocked")?, |row| {
        let account = AccountId(row.get(0)?);
        blocked.entry(account).or_default().insert(AccountId(row.get(1)?));
        Ok(())
    })?;
    let accounts = format!("SELECT {ACCOUNT_COLUMNS}, account FROM accounts");
    for_each(connection.prepare_cached(&accounts)?, |row| {
        let id = AccountId(row.get(6)?);
        let account = account_of(row, blocked.remove(&id).unwrap_or_default())?;
        if !account.name_key.is_empty() {
            state.names.insert(account.name_key.clone(), id);
        }
        state.accounts.insert(id, account);
        Ok(())
    })?;
    let devices = format!("SELECT {DEVICE_COLUMNS}, device FROM devices");
    for_each(connection.prepare_cached(&devices)?, |row| {
        let id = DeviceId(row.get(4)?);
        let device = device_of(row)?;
        state.channel_keys.insert(device.channel_key, id);
        state.devices.insert(id, device);
        Ok(())
    })
}

fn load_conversations(connection: &Connection, state: &mut State) -> Result<()> {
    // Rows of the other tables come ordered by the local number.
    let mut conversations: BTreeMap<Local, (ConversationId, Conversation)> = BTreeMap::new();
    let all = format!("SELECT {CONVERSATION_COLUMNS}, local, conversation FROM conversations");
    for_each(connection.prepare_cached(&all)?, |row| {
        let id = ConversationId(row.get(13)?);
        conversations.insert(row.get(12)?, (id, conversation_of(row)?));
        Ok(())
    })?;
    let members = format!("SELECT {MEMBER_COLUMNS}, conversation, account FROM members");
    for_each(connection.prepare_cached(&members)?, |row| {
        if let Some((id, conversation)) = conversations.get_mut(&row.get(7)?) {
            let account = AccountId(row.get(8)?);
            let member = member_of(row)?;
            let of_account = state.memberships.entry(account).or_default();
            if member.membership.standing != Standing::OUTSIDE {
                of_account.push(*id);
            }
            conversation.members.insert(account, member);
        }
        Ok(())
    })?;
    for of_account in state.memberships.values_mut() {
        // Rows come by local number.
        of_account.sort_unstable();
        of_account.shrink_to_fit();
    }
    let bans = "SELECT conversation, target, until, reason, by_account FROM bans";
    for_each(connection.prepare_cached(bans)?, |row| {
        if let Some((_, conversation)) = conversations.get_mut(&row.get(0)?) {
            let by: Option<[u8; 16]> = row.get(4)?;
            let ban = Ban { until: wall(row, 2)?, reason: row.get(3)?, by: by.map(AccountId) };
            conversation.bans.insert(decoded(row, 1)?, ban);
        }
        Ok(())
    })?;
    let senders = format!("SELECT {SENDER_COLUMNS}, conversation, device FROM senders");
    for_each(connection.prepare_cached(&senders)?, |row| {
        if let Some((_, conversation)) = conversations.get_mut(&row.get(3)?) {
            conversation.senders.insert(DeviceId(row.get(4)?), sender_of(row)?);
        }
        Ok(())
    })?;
    let rooms = conversations.values().filter(|(_, room)| !room.name_key.is_empty());
    state.rooms = rooms.map(|(id, room)| (room.name_key.clone(), *id)).collect();
    state.conversations = conversations.into_values().collect();
    Ok(())
}

const ACCOUNT_COLUMNS: &str = "name, name_key, genesis, signature, founded_at, administrator";

fn account_of(row: &Row<'_>, blocked: BTreeSet<AccountId>) -> Result<Account> {
    Ok(Account {
        name: row.get(0)?,
        name_key: row.get(1)?,
        genesis: bytes(row, 2)?,
        signature: bytes(row, 3)?,
        at: wall(row, 4)?,
        administrator: row.get(5)?,
        blocked,
    })
}

pub(super) fn account(connection: &Connection, id: AccountId) -> Result<Option<Account>> {
    let query = format!("SELECT {ACCOUNT_COLUMNS} FROM accounts WHERE account = ?1");
    let mut blocked = BTreeSet::new();
    let mut statement = connection.prepare_cached("SELECT whom FROM blocked WHERE account = ?1")?;
    for whom in statement.query_map([id.0], |row| row.get(0))? {
        blocked.insert(AccountId(whom?));
    }
    connection.prepare_cached(&query)?.query_row([id.0], |row| account_of(row, blocked)).optional()
}

pub(super) fn account_named(connection: &Connection, name_key: &str) -> Result<Option<AccountId>> {
    connection
        .prepare_cached("SELECT account FROM accounts WHERE name_key = ?1 AND name_key <> ''")?
        .query_row([name_key], |row| row.get(0))
        .optional()
        .map(|found| found.map(AccountId))
}

pub(super) fn write_account(
    connection: &Connection,
    id: AccountId,
    account: &Account,
) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO accounts
                 (account, name, name_key, genesis, signature, founded_at, administrator)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT DO UPDATE SET
                 name = ?2, name_key = ?3, genesis = ?4, signature = ?5, founded_at = ?6,
                 administrator = ?7",
        )?
        .execute(params![
            id.0,
            account.name,
            account.name_key,
            &account.genesis[..],
            &account.signature[..],
            account.at.as_millis().cast_signed(),
            account.administrator,
        ])?;
    connection.prepare_cached("DELETE FROM blocked WHERE account = ?1")?.execute([id.0])?;
    for whom in &account.blocked {
        connection
            .prepare_cached("INSERT INTO blocked (account, whom) VALUES (?1, ?2)")?
            .execute([id.0, whom.0])?;
    }
    Ok(())
}

const DEVICE_COLUMNS: &str = "account, signing_key, channel_key, highest";

fn device_of(row: &Row<'_>) -> Result<Device> {
    Ok(Device {
        account: AccountId(row.get(0)?),
        signing_key: row.get(1)?,
        channel_key: row.get(2)?,
        highest: Counter(unsigned(row, 3)?),
    })
}

pub(super) fn device(connection: &Connection, id: DeviceId) -> Result<Option<Device>> {
    let query = format!("SELECT {DEVICE_COLUMNS} FROM devices WHERE device = ?1");
    connection.prepare_cached(&query)?.query_row([id.0], device_of).optional()
}

pub(super) fn write_device(connection: &Connection, id: DeviceId, device: &Device) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO devices (device, account, signing_key, channel_key, highest)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET
                 account = ?2, signing_key = ?3, channel_key = ?4, highest = ?5",
        )?
        .execute(params![
            id.0,
            device.account.0,
            device.signing_key,
            device.channel_key,
            device.highest.0.cast_signed(),
        ])?;
    Ok(())
}

const CONVERSATION_COLUMNS: &str =
    "kind, name, name_key, topic, access, genesis, creator, first, head, chain, time, joined";

/// Without members, bans and senders.
fn conversation_of(row: &Row<'_>) -> Result<Conversation> {
    let creator: Option<[u8; 16]> = row.get(6)?;
    Ok(Conversation {
        kind: Kind(row.get(0)?),
        name: row.get(1)?,
        name_key: row.get(2)?,
        topic: row.get(3)?,
        access: Access(row.get(4)?),
        genesis: bytes(row, 5)?,
        creator: creator.map(AccountId),
        first: Seq(unsigned(row, 7)?),
        head: Seq(unsigned(row, 8)?),
        chain: row.get(9)?,
        time: wall(row, 10)?,
        members: BTreeMap::new(),
        joined: row.get(11)?,
        bans: BTreeMap::new(),
        senders: BTreeMap::new(),
    })
}

pub(super) fn conversation(
    connection: &Connection,
    id: ConversationId,
) -> Result<Option<(Local, Conversation)>> {
    let query =
        format!("SELECT {CONVERSATION_COLUMNS}, local FROM conversations WHERE conversation = ?1");
    connection
        .prepare_cached(&query)?
        .query_row([id.0], |row| Ok((row.get(12)?, conversation_of(row)?)))
        .optional()
}

/// The highest local number in use; 0 if there is none.
pub(super) fn newest_local(connection: &Connection) -> Result<Local> {
    connection.query_row("SELECT coalesce(max(local), 0) FROM conversations", [], |row| row.get(0))
}

pub(super) fn write_conversation(
    connection: &Connection,
    local: Local,
    id: ConversationId,
    conversation: &Conversation,
) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO conversations
                 (local, conversation, kind, name, name_key, topic, access, genesis, creator,
                  first, head, chain, time, joined)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
             ON CONFLICT DO UPDATE SET
                 topic = ?6, access = ?7, first = ?10, head = ?11, chain = ?12, time = ?13,
                 joined = ?14",
        )?
        .execute(params![
            local,
            id.0,
            conversation.kind.0,
            conversation.name,
            conversation.name_key,
            conversation.topic,
            conversation.access.0,
            &conversation.genesis[..],
            conversation.creator.map(|creator| creator.0),
            conversation.first.0.cast_signed(),
            conversation.head.0.cast_signed(),
            conversation.chain,
            conversation.time.as_millis().cast_signed(),
            conversation.joined,
        ])?;
    Ok(())
}

const MEMBER_COLUMNS: &str = "standing, role, muted_until, from_seq, to_seq, received, read";

fn member_of(row: &Row<'_>) -> Result<Member> {
    let to: Option<i64> = row.get(4)?;
    Ok(Member {
        membership: Membership {
            standing: Standing(row.get(0)?),
            role: Role(row.get(1)?),
            muted_until: wall(row, 2)?,
            from: Seq(unsigned(row, 3)?),
            to: to.map(|to| Seq(to.cast_unsigned())),
        },
        received: Seq(unsigned(row, 5)?),
        read: Seq(unsigned(row, 6)?),
    })
}

pub(super) fn member(
    connection: &Connection,
    local: Local,
    id: AccountId,
) -> Result<Option<Member>> {
    let query =
        format!("SELECT {MEMBER_COLUMNS} FROM members WHERE conversation = ?1 AND account = ?2");
    connection.prepare_cached(&query)?.query_row(params![local, id.0], member_of).optional()
}

pub(super) fn write_member(
    connection: &Connection,
    local: Local,
    id: AccountId,
    member: &Member,
) -> Result<()> {
    let Member { membership, received, read } = member;
    connection
        .prepare_cached(
            "INSERT INTO members
                 (conversation, account, standing, role, muted_until, from_seq, to_seq, received,
                  read)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT DO UPDATE SET
                 standing = ?3, role = ?4, muted_until = ?5, from_seq = ?6, to_seq = ?7,
                 received = ?8, read = ?9",
        )?
        .execute(params![
            local,
            id.0,
            membership.standing.0,
            membership.role.0,
            membership.muted_until.as_millis().cast_signed(),
            membership.from.0.cast_signed(),
            membership.to.map(|to| to.0.cast_signed()),
            received.0.cast_signed(),
            read.0.cast_signed(),
        ])?;
    Ok(())
}

/// Writes a ban, or removes it.
pub(super) fn write_ban(
    connection: &Connection,
    local: Local,
    target: &BanTarget,
    ban: Option<&Ban>,
) -> Result<()> {
    let target = encode(target);
    let Some(ban) = ban else {
        connection
            .prepare_cached("DELETE FROM bans WHERE conversation = ?1 AND target = ?2")?
            .execute(params![local, target])?;
        return Ok(());
    };
    connection
        .prepare_cached(
            "INSERT INTO bans (conversation, target, until, reason, by_account)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET until = ?3, reason = ?4, by_account = ?5",
        )?
        .execute(params![
            local,
            target,
            ban.until.as_millis().cast_signed(),
            ban.reason,
            ban.by.map(|by| by.0),
        ])?;
    Ok(())
}

const SENDER_COLUMNS: &str = "highest, floor, decided";

fn sender_of(row: &Row<'_>) -> Result<Sender> {
    Ok(Sender {
        highest: Counter(unsigned(row, 0)?),
        floor: Counter(unsigned(row, 1)?),
        decided: decoded(row, 2)?,
    })
}

pub(super) fn sender(
    connection: &Connection,
    local: Local,
    id: DeviceId,
) -> Result<Option<Sender>> {
    let query =
        format!("SELECT {SENDER_COLUMNS} FROM senders WHERE conversation = ?1 AND device = ?2");
    connection.prepare_cached(&query)?.query_row(params![local, id.0], sender_of).optional()
}

pub(super) fn write_sender(
    connection: &Connection,
    local: Local,
    id: DeviceId,
    sender: &Sender,
) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO senders (conversation, device, highest, floor, decided)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET highest = ?3, floor = ?4, decided = ?5",
        )?
        .execute(params![
            local,
            id.0,
            sender.highest.0.cast_signed(),
            sender.floor.0.cast_signed(),
            encode(&sender.decided),
        ])?;
    Ok(())
}

fn for_each(
    mut statement: CachedStatement<'_>,
    mut each: impl FnMut(&Row<'_>) -> Result<()>,
) -> Result<()> {
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        each(row)?;
    }
    Ok(())
}

/// An integer column that holds all 64 bits: a device may number its messages as it likes.
fn unsigned(row: &Row<'_>, column: usize) -> Result<u64> {
    row.get::<_, i64>(column).map(i64::cast_unsigned)
}

fn wall(row: &Row<'_>, column: usize) -> Result<WallTime> {
    unsigned(row, column).map(WallTime::from_millis)
}

fn bytes(row: &Row<'_>, column: usize) -> Result<Bytes> {
    Ok(Bytes::copy_from_slice(row.get_ref(column)?.as_blob()?))
}

fn decoded<T: for<'a> Deserialize<'a>>(row: &Row<'_>, column: usize) -> Result<T> {
    decode_own(row.get_ref(column)?.as_blob()?).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, Box::new(error))
    })
}
