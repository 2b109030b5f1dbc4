CREATE TABLE runs (
  -- A run of the service that has not ended. Without a log there is one; with a log there is one for each node.
  id        INTEGER PRIMARY KEY, -- devices.run
  node      TEXT    NOT NULL, -- the name of the node; '' without a log
  nonce     INTEGER NOT NULL, -- a random number by which the node recognizes its run
  level     INTEGER NOT NULL, -- the highest level of operations that the node's program knows
  agreement TEXT    NOT NULL, -- hashes of what the nodes must have in common, separated by spaces
  beats     INTEGER NOT NULL, -- how many beats of the run are in the log
  number    INTEGER NOT NULL  -- of the last entry of the run in the log: one with this number or a lower one is a repeat
) STRICT;

INSERT INTO runs SELECT run, '', 0, 0, '', 0, 0 FROM service WHERE run > 0;

-- A device that disconnected has kept its run since this schema, until its grace is over. Until then, every end of a run
-- applied to all devices whose row was older. The second UPDATE is for those whose grace two ends extend, one after the other.
UPDATE devices SET grace_until = max(grace_until, ifnull((SELECT max(at + grace) FROM run_ends
  WHERE at > since AND clock < grace_until), 0)) WHERE run = 0;
UPDATE devices SET grace_until = max(grace_until, ifnull((SELECT max(at + grace) FROM run_ends
  WHERE at > since AND clock < grace_until), 0)) WHERE run = 0;
UPDATE devices SET run = (SELECT run FROM service) WHERE run = 0 AND grace_until > (SELECT clock FROM service);

ALTER TABLE run_ends RENAME TO run_ends_before;

CREATE TABLE run_ends (
  -- The end of a run that still has devices. It ends their streams and starts their grace, without a change of their rows. It
  -- is removed once no device has the run. A run that ended can end again: that extends the grace of devices that are in it.
  run       INTEGER NOT NULL,
  at        INTEGER NOT NULL, -- when it was recorded
  clock     INTEGER NOT NULL, -- the time of the last batch before
  grace     INTEGER NOT NULL, -- for how long its devices count as connected, in microseconds
  retention INTEGER NOT NULL, -- how long its native devices then keep their user OFFLINE, in microseconds from at
  PRIMARY KEY (run, at)
) STRICT, WITHOUT ROWID;

INSERT INTO run_ends SELECT d.run, e.at, e.clock, e.grace, e.retention
  FROM (SELECT run, min(since) AS since FROM devices WHERE run <> 0 AND stream <> 0 GROUP BY run) AS d, run_ends_before AS e
  WHERE e.at > d.since;

DROP TABLE run_ends_before;

CREATE TABLE settings (
  -- One row: the settings in force.
  one   INTEGER PRIMARY KEY CHECK (one = 1),
  value BLOB    NOT NULL -- in CBOR
) STRICT;

CREATE TABLE node (
  -- One row. What only this copy of the database has; everything else is the same on all nodes that have applied as much.
  one      INTEGER PRIMARY KEY CHECK (one = 1),
  log      TEXT    NOT NULL, -- the ID of the log; '' without one
  place    INTEGER NOT NULL, -- of the last entry that was applied
  at       INTEGER NOT NULL, -- when that entry was appended, by the clock of the log
  entry    BLOB    NOT NULL, -- the SHA-256 of that entry
  digest   BLOB    NOT NULL, -- of the state at that place, and at all places before
  nonce    INTEGER NOT NULL, -- that of the last run of this node
  proposed BLOB    NOT NULL  -- the settings that this node has proposed last, in CBOR
) STRICT;

INSERT INTO node VALUES (1, '', 0, 0, x'', x'', 0, x'');
