-- From format 1 to 2: when the last attempt ended, which says since when a message waits, and how often it came back from the
-- dead letters. Rows that have nothing of it keep their checksums.
ALTER TABLE waiting ADD COLUMN last_attempt_at INTEGER;
ALTER TABLE waiting ADD COLUMN replays INTEGER NOT NULL DEFAULT 0;
ALTER TABLE dead_letters ADD COLUMN last_attempt_at INTEGER;
ALTER TABLE dead_letters ADD COLUMN replays INTEGER NOT NULL DEFAULT 0;

PRAGMA user_version = 2;
