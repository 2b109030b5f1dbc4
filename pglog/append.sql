-- This is one statement, so that an append is one round trip. The row of head stays locked
-- until the commit, so that the places have no gap, and become visible in their order.
WITH head AS (
  UPDATE presence.head SET last = last + 1, bytes = bytes + length($1::bytea) RETURNING last
), entry AS (
  INSERT INTO presence.entries SELECT last, clock_timestamp(), $1 FROM head
)
SELECT
  pg_notify('presence', last::text),
  -- The commit waits for the disk, and for the synchronous replicas. remote_apply waits for
  -- more than that.
  set_config('synchronous_commit',
    CASE current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, true)
FROM head
