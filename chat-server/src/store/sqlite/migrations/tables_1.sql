CREATE TABLE meta (
    id           INTEGER PRIMARY KEY CHECK (id = 1),
    indexed_upto INTEGER NOT NULL,
    log_id       BLOB
) STRICT;
INSERT INTO meta (id, indexed_upto) VALUES (1, 0);

CREATE TABLE accounts (
    account       BLOB PRIMARY KEY,
    name          TEXT NOT NULL,
    name_key      TEXT NOT NULL,
    genesis       BLOB NOT NULL,
    signature     BLOB NOT NULL,
    founded_at    INTEGER NOT NULL,
    administrator INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX accounts_by_name ON accounts (name_key) WHERE name_key <> '';

CREATE TABLE blocked (
    account BLOB NOT NULL REFERENCES accounts,
    whom    BLOB NOT NULL,
    PRIMARY KEY (account, whom)
) STRICT, WITHOUT ROWID;

CREATE TABLE devices (
    device      BLOB PRIMARY KEY,
    account     BLOB NOT NULL REFERENCES accounts,
    signing_key BLOB NOT NULL,
    channel_key BLOB NOT NULL,
    highest     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- `local` stands for the conversation in every other table: eight times shorter than its id.
CREATE TABLE conversations (
    local        INTEGER PRIMARY KEY,
    conversation BLOB NOT NULL UNIQUE,
    kind         INTEGER NOT NULL,
    name         TEXT NOT NULL,
    name_key     TEXT NOT NULL,
    topic        TEXT NOT NULL,
    access       INTEGER NOT NULL,
    genesis      BLOB NOT NULL,
    creator      BLOB,
    first        INTEGER NOT NULL,
    head         INTEGER NOT NULL,
    chain        BLOB NOT NULL,
    time         INTEGER NOT NULL,
    joined       INTEGER NOT NULL
) STRICT;

CREATE TABLE members (
    conversation INTEGER NOT NULL REFERENCES conversations,
    account      BLOB NOT NULL,
    standing     INTEGER NOT NULL,
    role         INTEGER NOT NULL,
    muted_until  INTEGER NOT NULL,
    from_seq     INTEGER NOT NULL,
    to_seq       INTEGER,
    received     INTEGER NOT NULL,
    read         INTEGER NOT NULL,
    PRIMARY KEY (conversation, account)
) STRICT, WITHOUT ROWID;

CREATE TABLE bans (
    conversation INTEGER NOT NULL REFERENCES conversations,
    target       BLOB NOT NULL,
    until        INTEGER NOT NULL,
    reason       TEXT NOT NULL,
    by_account   BLOB,
    PRIMARY KEY (conversation, target)
) STRICT, WITHOUT ROWID;

-- What dedupe remembers; `decided` maps counters to places and digests.
CREATE TABLE senders (
    conversation INTEGER NOT NULL REFERENCES conversations,
    device       BLOB NOT NULL,
    highest      INTEGER NOT NULL,
    floor        INTEGER NOT NULL,
    decided      BLOB NOT NULL,
    PRIMARY KEY (conversation, device)
) STRICT, WITHOUT ROWID;

-- Consecutive runs, and the chain before the first of them. The id is the conversation's local
-- number and the place of the first record, so that a conversation's segments stand together in
-- order, and a row of a few kilobytes lies whole in one leaf.
CREATE TABLE segments (
    id    INTEGER PRIMARY KEY,
    chain BLOB NOT NULL,
    runs  BLOB NOT NULL
) STRICT;

-- Conversations with segments below their `first`, which are removed a few at a time.
CREATE TABLE sweeps (
    conversation INTEGER PRIMARY KEY REFERENCES conversations
) STRICT;
