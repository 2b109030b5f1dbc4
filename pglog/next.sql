-- Up to 1,000 entries, and no more of them once they have 4 MiB. Without an entry, there is
-- one row with the place 0.
SELECT first, last, coalesce(place, 0), coalesce(at AT TIME ZONE 'UTC', 'epoch'), data FROM presence.head LEFT JOIN (
  SELECT *, sum(length(data)) OVER (ORDER BY place) - length(data) AS before
  FROM presence.entries WHERE place > $1 ORDER BY place LIMIT 1000
) entry ON before < 4194304 ORDER BY place
