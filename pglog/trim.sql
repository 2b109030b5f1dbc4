-- This removes the snapshots that the newest one replaces, and the entries that are older than
-- both that and $1: some of them, so that appends don't wait for long. It begins with the
-- oldest entry and leaves no gap. It returns whether there may be more.
WITH replaced AS (
  DELETE FROM presence.snapshots WHERE place < (SELECT max(place) FROM presence.snapshots)
), oldest AS (
  SELECT place, at >= clock_timestamp() - $1::interval AS kept FROM presence.entries
  WHERE place >= (SELECT first FROM presence.head) AND place <= (SELECT max(place) FROM presence.snapshots)
  ORDER BY place LIMIT 10000
), removed AS (
  DELETE FROM presence.entries
  WHERE place < (SELECT coalesce(min(place) FILTER (WHERE kept), max(place) + 1) FROM oldest)
  RETURNING length(data) AS size
), trimmed AS (
  UPDATE presence.head SET first = first + entries, bytes = bytes - size
  FROM (SELECT count(*) AS entries, sum(size) AS size FROM removed) removed WHERE entries > 0
)
SELECT EXISTS (SELECT FROM removed)
