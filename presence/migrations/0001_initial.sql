CREATE TABLE service (
  -- One row. What the process must find again when it starts.
  one                  INTEGER PRIMARY KEY CHECK (one = 1),
  version              INTEGER NOT NULL, -- the last version given out
  clock                INTEGER NOT NULL, -- time of the last batch; time never goes back behind it
  run                  INTEGER NOT NULL, -- incarnations counted; devices.run refers to it
  next_user            INTEGER NOT NULL, -- users.id of the next user; never used twice
  user_status          INTEGER NOT NULL, -- the switch, 0 or 1
  user_status_since    INTEGER NOT NULL, -- version at which it last went on
  friend_notifications INTEGER NOT NULL, -- the switch, 0 or 1
  friends_since        INTEGER NOT NULL  -- version at which it last went on
) STRICT;

INSERT INTO service VALUES (1, 0, 0, 0, 1, 1, 0, 1, 0);

CREATE TABLE users (
  -- Every time here and below is in microseconds since 1970, UTC; 0 is never.
  id            INTEGER PRIMARY KEY,
  user_id       TEXT    NOT NULL UNIQUE,
  status_type   INTEGER NOT NULL, -- 1 ONLINE, 2 OFFLINE, 3 UNLOGINED: as last announced
  custom_status TEXT    NOT NULL,
  expires_at    INTEGER NOT NULL, -- when the custom status ends by its own expiry
  clear_at      INTEGER NOT NULL, -- when it ends because the user is UNLOGINED
  version       INTEGER NOT NULL, -- of the last visible change
  revoked_at    INTEGER NOT NULL  -- credentials issued up to then are refused: the last kick
) STRICT;

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
  PRIMARY KEY (user, device_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE kicked (
  -- A device that was told to go away, and is refused until then if it merely reconnects.
  -- By name, so that it outlives a deleted user.
  user_id   TEXT    NOT NULL,
  device_id TEXT    NOT NULL,
  until     INTEGER NOT NULL,
  PRIMARY KEY (user_id, device_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE subscriptions (
  -- user is told about target. since is the version at which it began, and the order of age.
  user   INTEGER NOT NULL,
  target INTEGER NOT NULL,
  since  INTEGER NOT NULL,
  PRIMARY KEY (user, target)
) STRICT, WITHOUT ROWID;

CREATE INDEX subscriptions_by_target ON subscriptions (target);

CREATE TABLE friends (
  -- user has friend in their list.
  user   INTEGER NOT NULL,
  friend INTEGER NOT NULL,
  since  INTEGER NOT NULL,
  PRIMARY KEY (user, friend)
) STRICT, WITHOUT ROWID;

CREATE INDEX friends_by_friend ON friends (friend);

CREATE TABLE jumps (
  -- Versions strictly between the two were never given out: the counter jumps at every start.
  above INTEGER PRIMARY KEY,
  below INTEGER NOT NULL
) STRICT;
