-- What makes a copy of the tables a whole backup: the journal's rows that were not indexed, and
-- what the relay keeps beside its store, such as its key.
CREATE TABLE journal (
    number INTEGER PRIMARY KEY,
    ops    BLOB NOT NULL
) STRICT;
INSERT INTO journal (number, ops)
    SELECT number, ops FROM live.journal
    WHERE number > (SELECT indexed_upto FROM meta);
CREATE TABLE extra (
    name  TEXT PRIMARY KEY,
    bytes BLOB NOT NULL
) STRICT;
-- Comes last: a file without it is not a finished backup.
CREATE TABLE backup (
    version INTEGER NOT NULL
) STRICT;
INSERT INTO backup (version) VALUES (1);
