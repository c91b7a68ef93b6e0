-- Format 2. See docs/queue-format.md.

-- What was accepted, written once, deleted once. `crc` covers seq, lane, kind, accepted_at, head and body.
CREATE TABLE messages (
    seq INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    accepted_at INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    head BLOB NOT NULL,
    body BLOB NOT NULL
);

-- What is still to be done. Small rows in the order in which they are looked for, so that the next message of a lane
-- is one step and a retry rewrites no body. `crc` covers the lane and everything about the attempts.
CREATE TABLE waiting (
    lane TEXT NOT NULL,
    seq INTEGER NOT NULL,
    accepted_at INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    not_before INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    first_attempt_at INTEGER,
    last_cause TEXT,
    frozen BLOB,
    crc INTEGER NOT NULL,
    last_attempt_at INTEGER,
    replays INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (lane, seq)
) WITHOUT ROWID;

-- Burying moves a row of `waiting` here; the message stays where it is, so that it needs no room. `bytes` is what it
-- takes from the bound, here and in `kept`.
CREATE TABLE dead_letters (
    seq INTEGER PRIMARY KEY,
    lane TEXT NOT NULL,
    buried_at INTEGER NOT NULL,
    code TEXT NOT NULL,
    detail TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    first_attempt_at INTEGER,
    last_cause TEXT,
    frozen BLOB,
    bytes INTEGER NOT NULL,
    last_attempt_at INTEGER,
    replays INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE kept (
    seq INTEGER PRIMARY KEY,
    lane TEXT NOT NULL,
    kept_at INTEGER NOT NULL,
    bytes INTEGER NOT NULL
);

-- The ring of the last keys of a lane: entries of 24 bytes (key, time as i64 little endian), newest last.
CREATE TABLE seen (lane TEXT PRIMARY KEY, ring BLOB NOT NULL) WITHOUT ROWID;

CREATE TABLE notes (
    space TEXT NOT NULL,
    key TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (space, key)
) WITHOUT ROWID;

-- One row: counting a million rows at the start would take longer than the door may wait.
CREATE TABLE totals (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    next_seq INTEGER NOT NULL,
    waiting INTEGER NOT NULL,
    waiting_bytes INTEGER NOT NULL,
    dead_letters INTEGER NOT NULL,
    dead_letters_bytes INTEGER NOT NULL,
    dead_letters_gone INTEGER NOT NULL,
    kept INTEGER NOT NULL,
    kept_bytes INTEGER NOT NULL,
    kept_gone INTEGER NOT NULL
);
INSERT INTO totals VALUES (1, 1, 0, 0, 0, 0, 0, 0, 0, 0);

-- Pages that are set aside inside the file. On a full disk they are given up, a row at a time, so that draining goes on.
CREATE TABLE reserve (n INTEGER PRIMARY KEY, filler BLOB NOT NULL);

PRAGMA user_version = 2;
