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
