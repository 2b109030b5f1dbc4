-- The tables of a log, version 1. The statements may run again, and several nodes may run
-- them at once.
BEGIN;
SELECT pg_advisory_xact_lock(8102650225890321253); -- "presence", in ASCII
SET LOCAL synchronous_commit = on;                 -- a node may keep the id

-- CREATE SCHEMA IF NOT EXISTS would need CREATE on the database even if the schema exists.
DO $$ BEGIN
  IF to_regnamespace('presence') IS NULL THEN CREATE SCHEMA presence; END IF;
END $$;

CREATE TABLE IF NOT EXISTS presence.head (
  one     boolean PRIMARY KEY DEFAULT true CHECK (one),    -- there is one row
  version integer NOT NULL,                                -- of the tables
  id      text    NOT NULL DEFAULT gen_random_uuid()::text,
  first   bigint  NOT NULL DEFAULT 1,                      -- the place of the oldest entry that is kept
  last    bigint  NOT NULL DEFAULT 0,                      -- the place of the newest entry
  bytes   bigint  NOT NULL DEFAULT 0                       -- the size of the entries that are kept
);
INSERT INTO presence.head (version) VALUES (1) ON CONFLICT DO NOTHING;

CREATE TABLE IF NOT EXISTS presence.entries (
  place bigint      PRIMARY KEY,
  at    timestamptz NOT NULL,
  data  bytea       NOT NULL
);

CREATE TABLE IF NOT EXISTS presence.snapshots (
  place bigint,                                            -- the snapshot contains the entries up to here
  piece integer,                                           -- counts from 0; a snapshot has at least one
  data  bytea NOT NULL,                                    -- at most 1 MiB
  PRIMARY KEY (place, piece)
);

-- Compression would cost more time than it saves.
ALTER TABLE presence.entries ALTER COLUMN data SET STORAGE EXTERNAL;
ALTER TABLE presence.snapshots ALTER COLUMN data SET STORAGE EXTERNAL;
COMMIT;
