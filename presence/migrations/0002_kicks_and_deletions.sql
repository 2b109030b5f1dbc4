DROP VIEW IF EXISTS needs;
CREATE VIEW needs AS SELECT '0.2.0' AS release;

CREATE TABLE kicks (
  -- A device that was kicked or logged out. Until then it is refused if it only reconnects.
  -- By name, so that it outlives a deleted user. The device_id '' means all devices of the user: it refuses
  -- reconnects without a device_id, unless their token is newer than at, or their cursor is above version.
  user_id   TEXT    NOT NULL,
  device_id TEXT    NOT NULL,
  type      TEXT    NOT NULL, -- of the KICKED_OUT event
  at        INTEGER NOT NULL,
  version   INTEGER NOT NULL, -- the last version given out before
  until     INTEGER NOT NULL,
  PRIMARY KEY (user_id, device_id)
) STRICT, WITHOUT ROWID;

INSERT INTO kicks SELECT user_id, device_id, 'REST_API_Kick', max(0, until - 60000000), 0, until FROM kicked;
DROP TABLE kicked;

CREATE TABLE deleted (
  -- All that is kept of a deleted user: credentials issued up to then are refused.
  hash BLOB    PRIMARY KEY, -- the first 16 bytes of HMAC-SHA256 of the user_id, with deletion_key
  at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE deletion_key (
  -- One row, written once.
  one INTEGER PRIMARY KEY CHECK (one = 1),
  key BLOB    NOT NULL -- 32 random bytes
) STRICT;

CREATE TABLE leftovers (
  -- A deleted user whose rows in subscriptions and friends are still being removed. Until they are, they count for nothing.
  user INTEGER PRIMARY KEY -- users.id
) STRICT;
