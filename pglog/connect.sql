-- Every connection begins with these statements. They check that PostgreSQL and this release
-- of the log fit together, and create the tables of version 1 if there are none. Several
-- nodes may run them at once.

-- PostgreSQL gives up a call that waits for a lock before we do, and frees what a node holds
-- that hangs or is gone. With a higher isolation, appends that only have to wait would fail.
SET lock_timeout = '4s';
SET idle_in_transaction_session_timeout = '1min';
SET tcp_keepalives_idle = 10;
SET tcp_keepalives_interval = 5;
SET tcp_keepalives_count = 2;
SET default_transaction_isolation = 'read committed';

BEGIN ISOLATION LEVEL READ COMMITTED;

-- What this raises becomes an error that trying again doesn't end; see errors.go.
DO $$ BEGIN
  -- It is the first release that says at the login whether it is a standby.
  IF current_setting('server_version_num')::integer < 140000 THEN
    RAISE 'this is PostgreSQL %: install 14 or later', split_part(current_setting('server_version'), '.', 1);
  END IF;

  IF NOT EXISTS (SELECT FROM pg_tables WHERE schemaname = 'presence' AND tablename = 'head') THEN
    PERFORM pg_advisory_xact_lock(8102650225890321253); -- "presence", in ASCII
    SET LOCAL synchronous_commit = on;                  -- a node may keep the id
  END IF;

  -- Another node may have created them meanwhile. to_regclass wouldn't see that.
  IF NOT EXISTS (SELECT FROM pg_tables WHERE schemaname = 'presence' AND tablename = 'head') THEN
    RAISE NOTICE 'the log gets its tables in PostgreSQL';

    -- CREATE SCHEMA IF NOT EXISTS would need CREATE on the database even if the schema exists.
    IF to_regnamespace('presence') IS NULL THEN
      CREATE SCHEMA presence;
    END IF;

    CREATE TABLE presence.head (
      one     boolean PRIMARY KEY DEFAULT true CHECK (one), -- there is one row
      version integer NOT NULL,                             -- of the tables
      id      text    NOT NULL DEFAULT gen_random_uuid()::text,
      first   bigint  NOT NULL DEFAULT 1,                   -- the place of the oldest entry that is kept
      last    bigint  NOT NULL DEFAULT 0,                   -- the place of the newest entry
      bytes   bigint  NOT NULL DEFAULT 0                    -- the size of the entries that are kept
    );
    INSERT INTO presence.head (version) VALUES (1);

    CREATE TABLE presence.entries (
      place bigint      PRIMARY KEY,
      at    timestamptz NOT NULL,
      data  bytea       NOT NULL
    );

    CREATE TABLE presence.snapshots (
      place bigint,                                         -- the snapshot contains the entries up to here
      piece integer,                                        -- counts from 0; a snapshot has at least one
      data  bytea NOT NULL,                                 -- at most 1 MiB
      PRIMARY KEY (place, piece)
    );

    -- Compression would cost more time than it saves.
    ALTER TABLE presence.entries ALTER COLUMN data SET STORAGE EXTERNAL;
    ALTER TABLE presence.snapshots ALTER COLUMN data SET STORAGE EXTERNAL;
  END IF;

  IF (SELECT version FROM presence.head) > 1 THEN
    RAISE 'its tables have the version %, and this release knows 1: install the newer release here too',
      (SELECT version FROM presence.head);
  END IF;
END $$;

COMMIT;
