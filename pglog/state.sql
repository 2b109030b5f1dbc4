SELECT id, first, last, bytes, (SELECT coalesce(max(place), -1) FROM presence.snapshots), array_remove(ARRAY[
  CASE WHEN current_setting('fsync') = 'off' THEN
    'A loss of power can destroy the log, because fsync is off in PostgreSQL. Set it to on.' END,
  CASE WHEN current_setting('full_page_writes') = 'off' THEN
    'A loss of power can damage the log, because full_page_writes is off in PostgreSQL. Set it to on, unless the file system writes whole pages.' END,
  -- A role without the right to see the details of a replica sees its row.
  CASE WHEN current_setting('synchronous_standby_names') = '' AND EXISTS (
    SELECT FROM pg_stat_replication r WHERE state IS DISTINCT FROM 'backup' AND NOT EXISTS (
      SELECT FROM pg_replication_slots WHERE active_pid = r.pid AND slot_type = 'logical')) THEN
    'A replica that takes over can lack the newest entries of the log, because the replicas of PostgreSQL are asynchronous. Set synchronous_standby_names.' END
], NULL)
FROM presence.head
