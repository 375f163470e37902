-- Those of the events given that came so long ago that their ids are free again.
WITH given(now) AS (SELECT ?),
     v(id) AS (VALUES (?))
DELETE FROM riqle_events WHERE id IN (SELECT id FROM v) AND received_at + id_kept <= (SELECT now FROM given)
