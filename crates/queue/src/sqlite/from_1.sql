-- From format 1 to 2: when the last attempt ended, which says since when a message waits. Rows that have it not keep their
-- checksums.
ALTER TABLE waiting ADD COLUMN last_attempt_at INTEGER;
ALTER TABLE dead_letters ADD COLUMN last_attempt_at INTEGER;

PRAGMA user_version = 2;
