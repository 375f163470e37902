-- ?1 name, ?2 older than this one (null: any), ?3 how many are looked at, ?4 how many are listed.
SELECT id, name, received_at, runs FROM (
    SELECT number, id, name, received_at, runs FROM riqle_events
    WHERE number < iif(?2 IS NULL, 9223372036854775807,
                       coalesce((SELECT number FROM riqle_events WHERE id = ?2), 0))
    ORDER BY number DESC LIMIT ?3)
WHERE ?1 IS NULL OR name = ?1
ORDER BY number DESC LIMIT ?4
