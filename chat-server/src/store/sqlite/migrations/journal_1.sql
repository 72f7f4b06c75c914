-- One row per commit. The number is the commit's; the ops are encoded as the relay's own bytes.
CREATE TABLE journal (
    number INTEGER PRIMARY KEY,
    ops    BLOB NOT NULL
) STRICT;

-- Counts how often an unknown outcome had to be settled: writing it is what settles it.
CREATE TABLE settled (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    times INTEGER NOT NULL
) STRICT;
INSERT INTO settled (id, times) VALUES (1, 0);
