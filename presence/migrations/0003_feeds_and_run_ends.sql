CREATE TABLE feeds (
  -- A feed that continues where it stopped, after a restart too: a webhook.
  name    TEXT    PRIMARY KEY,
  version INTEGER NOT NULL -- up to which it has received everything
) STRICT, WITHOUT ROWID;

CREATE TABLE gone (
  -- A deleted user whose deletion some feed has not received yet. Removed when the ID is registered again.
  user_id TEXT    PRIMARY KEY,
  version INTEGER NOT NULL -- of the deletion
) STRICT, WITHOUT ROWID;

CREATE INDEX gone_by_version ON gone (version);

CREATE TABLE run_ends (
  -- The end of a run of the service. It ends the streams of all devices whose row is older, and starts the grace of those
  -- devices, without a change of their rows. It is removed once there is no older row.
  at        INTEGER PRIMARY KEY, -- when the next run recorded it
  clock     INTEGER NOT NULL,    -- the time of the last batch of the run
  grace     INTEGER NOT NULL,    -- for how long its devices count as connected, in microseconds
  retention INTEGER NOT NULL     -- how long its native devices then keep their user OFFLINE, in microseconds from at
) STRICT;
