-- Schema 1. Ids and digests are blobs; counters and places are integers.

CREATE TABLE setting (
    key TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE conversation (
    local INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    -- As the relay described it last.
    info BLOB NOT NULL,
    read INTEGER NOT NULL,
    draft TEXT NOT NULL DEFAULT ''
) STRICT;

-- What is stored without a gap: low..=high.
CREATE TABLE interval (
    conversation INTEGER NOT NULL REFERENCES conversation,
    low INTEGER NOT NULL,
    high INTEGER NOT NULL,
    before BLOB NOT NULL,
    chain BLOB NOT NULL,
    PRIMARY KEY (conversation, low)
) STRICT, WITHOUT ROWID;

-- Verbatim from the relay. device and counter repeat the envelope, null if it is of a later
-- version; erased: content is the body's digest; chain: on every 64th only.
CREATE TABLE record (
    conversation INTEGER NOT NULL REFERENCES conversation,
    seq INTEGER NOT NULL,
    time INTEGER NOT NULL,
    device BLOB,
    counter INTEGER,
    target INTEGER,
    envelope BLOB NOT NULL,
    signature BLOB NOT NULL,
    content BLOB NOT NULL,
    erased INTEGER NOT NULL,
    chain BLOB,
    PRIMARY KEY (conversation, seq)
) STRICT, WITHOUT ROWID;

-- Edits, deletions and reactions by what they act on.
CREATE INDEX record_target ON record (conversation, target) WHERE target IS NOT NULL;

-- Records of a history that the relay no longer has. Nothing is destroyed silently.
CREATE TABLE forked (
    number INTEGER PRIMARY KEY,
    conversation INTEGER NOT NULL REFERENCES conversation,
    seq INTEGER NOT NULL,
    time INTEGER NOT NULL,
    device BLOB,
    counter INTEGER,
    target INTEGER,
    envelope BLOB NOT NULL,
    signature BLOB NOT NULL,
    content BLOB NOT NULL,
    erased INTEGER NOT NULL
) STRICT;

CREATE TABLE outbox (
    local INTEGER PRIMARY KEY,
    -- Null until its conversation is known. Two messages never share a number.
    counter INTEGER UNIQUE,
    message BLOB NOT NULL
) STRICT;

CREATE TABLE person (
    account BLOB PRIMARY KEY,
    info BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE device (
    device BLOB PRIMARY KEY,
    info BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Whom a name meant at first contact.
CREATE TABLE pin (
    name TEXT PRIMARY KEY,
    account BLOB NOT NULL
) STRICT, WITHOUT ROWID;
