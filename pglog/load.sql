-- A piece of the newest snapshot. The place is -1 if there is no snapshot, and data is null
-- if it has no such piece.
SELECT coalesce(newest, -1), data FROM (SELECT max(place) AS newest FROM presence.snapshots) snapshot
LEFT JOIN presence.snapshots ON place = newest AND piece = $1
