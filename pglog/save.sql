-- One transaction saves a snapshot, so that nothing remains of one that fails. It waits for
-- other nodes that save before its first query, which thereby sees what they saved.
BEGIN;
SELECT pg_advisory_xact_lock(8102650225890321253); -- as in connect.sql
-- As in append.sql.
SELECT set_config('synchronous_commit',
  CASE current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, true);
