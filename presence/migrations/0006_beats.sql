ALTER TABLE runs RENAME TO runs_before;

CREATE TABLE runs (
  -- A run of the service that has not ended. Without a log there is one; with a log there is one for each node. A node is dead,
  -- and its run ends, if its last beat is older than the last three of another node.
  id        INTEGER PRIMARY KEY, -- devices.run
  node      TEXT    NOT NULL, -- the name of the node; '' without a log
  nonce     INTEGER NOT NULL, -- a random number by which the node recognizes its run
  level     INTEGER NOT NULL, -- the highest level of operations that the node's program knows
  agreement TEXT    NOT NULL, -- hashes of what the nodes must have in common, separated by spaces
  beats     INTEGER NOT NULL, -- how many beats of the run are in the log
  beat_1    INTEGER NOT NULL, -- when it had its last beat; its beginning counts as one
  beat_2    INTEGER NOT NULL, -- when it had its second last beat
  beat_3    INTEGER NOT NULL, -- when it had its third last beat
  number    INTEGER NOT NULL  -- of the last entry of the run in the log: one with this number or a lower one is a repeat
) STRICT;

INSERT INTO runs SELECT id, node, nonce, level, agreement, beats, 0, 0, 0, number FROM runs_before;

DROP TABLE runs_before;
