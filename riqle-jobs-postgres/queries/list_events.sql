-- $1 name, $2 older than this one (null: any), $3 how many are looked at, $4 how many are listed.
SELECT id, name, received_at, runs FROM (
    SELECT number, id, name, received_at, runs FROM riqle.events
    WHERE number < CASE WHEN $2::text IS NULL THEN 9223372036854775807
                        ELSE coalesce((SELECT number FROM riqle.events WHERE id = $2), 0) END
    ORDER BY number DESC LIMIT $3) newest
WHERE $1::text IS NULL OR name = $1
ORDER BY number DESC LIMIT $4
