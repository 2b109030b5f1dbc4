ALTER TABLE users RENAME TO users_before;

CREATE TABLE users (
  -- Every time here and below is in microseconds since 1970, UTC; 0 is never. Each user has two views, as last announced:
  -- one for the user's own devices and the server side, and a public one for everybody else.
  id            INTEGER PRIMARY KEY,
  user_id       TEXT    NOT NULL UNIQUE,
  status_type   INTEGER NOT NULL, -- 1 ONLINE, 2 OFFLINE, 3 UNLOGINED
  away          INTEGER NOT NULL, -- 0 or 1: ONLINE with only idle devices
  version       INTEGER NOT NULL, -- of the last visible change
  last_seen     INTEGER NOT NULL, -- when the user was last ONLINE, in minutes since 1970; 0 is never
  public_status_type INTEGER NOT NULL,
  public_away        INTEGER NOT NULL,
  public_version     INTEGER NOT NULL,
  public_last_seen   INTEGER NOT NULL,
  invisible     INTEGER NOT NULL, -- 0 or 1
  revoked_at    INTEGER NOT NULL, -- credentials issued up to then are refused: the last kick
  -- The user's own entry. It exists if it has a text or an availability.
  custom_status TEXT    NOT NULL,
  availability  INTEGER NOT NULL, -- 0 none, 1 away, 2 busy, 3 dnd
  priority      INTEGER NOT NULL,
  set_at        INTEGER NOT NULL,
  starts_at     INTEGER NOT NULL,
  waiting       INTEGER NOT NULL, -- 0 or 1: starts_at has not come yet
  expires_at    INTEGER NOT NULL, -- when it ends by its own expiry
  clear_at      INTEGER NOT NULL  -- when it ends because the user is UNLOGINED
) STRICT;

INSERT INTO users SELECT id, user_id, status_type, 0, version, 0, status_type, 0, version, 0, 0, revoked_at, custom_status, 0, 0,
  iif(custom_status = '', 0, (SELECT clock FROM service)), 0, 0, expires_at, clear_at FROM users_before;

DROP TABLE users_before;

CREATE TABLE entries (
  -- What a source other than the user's own says about a user.
  user          INTEGER NOT NULL,
  source        TEXT    NOT NULL,
  custom_status TEXT    NOT NULL,
  availability  INTEGER NOT NULL, -- the columns mean the same as those of users
  priority      INTEGER NOT NULL,
  set_at        INTEGER NOT NULL,
  starts_at     INTEGER NOT NULL,
  waiting       INTEGER NOT NULL,
  expires_at    INTEGER NOT NULL,
  PRIMARY KEY (user, source)
) STRICT, WITHOUT ROWID;

ALTER TABLE devices RENAME TO devices_before;

CREATE TABLE devices (
  -- A device that is logged in: connected, or dropped and not yet forgotten.
  user         INTEGER NOT NULL,
  device_id    TEXT    NOT NULL,
  platform     TEXT    NOT NULL,
  login_at     INTEGER NOT NULL,
  run          INTEGER NOT NULL, -- which run of the process holds its stream; 0: none does
  stream       INTEGER NOT NULL, -- which of that run's streams
  since        INTEGER NOT NULL, -- connected, or dropped, since
  grace_until  INTEGER NOT NULL, -- dropped: counts as connected until then
  retain_until INTEGER NOT NULL, -- dropped and native: makes the user OFFLINE until then
  idle         INTEGER NOT NULL, -- 0 or 1: nobody is using it, as it reported last
  hidden       INTEGER NOT NULL, -- 0 or 1: doesn't count in the public view until it connects again
  PRIMARY KEY (user, device_id)
) STRICT, WITHOUT ROWID;

INSERT INTO devices SELECT *, 0, 0 FROM devices_before;

DROP TABLE devices_before;
