-- Schema 2: full-text search.

-- Every record that has words and is in the index. The place is its time in milliseconds times
-- 2^20, plus a number that tells apart what was said in the same millisecond: newest first is the
-- order of this key, and a stretch of time is a range of it. An edit stands at the time of the
-- message that it changes.
CREATE TABLE speech (
    place INTEGER PRIMARY KEY,
    conversation INTEGER NOT NULL REFERENCES conversation,
    seq INTEGER NOT NULL,
    UNIQUE (conversation, seq)
) STRICT;

-- Three characters at a time, so that no script needs words. Which messages, not where in them, is
-- all it knows: it is half as large, and the message has to be read anyway.
CREATE VIRTUAL TABLE words USING fts5 (
    text, content='', columnsize=0, detail=none, tokenize='trigram'
);

-- What is removed is overwritten, not only marked as removed.
INSERT INTO words (words, rank) VALUES ('secure-delete', 1);

-- Stretches of records that are not in the index yet: low..=high.
CREATE TABLE unindexed (
    conversation INTEGER NOT NULL REFERENCES conversation,
    low INTEGER NOT NULL,
    high INTEGER NOT NULL,
    PRIMARY KEY (conversation, low)
) STRICT, WITHOUT ROWID;

INSERT INTO unindexed SELECT conversation, low, high FROM interval;
