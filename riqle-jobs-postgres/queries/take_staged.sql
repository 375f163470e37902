-- $1 frozen time, $2 the relay's token, $3 most items, $4 bytes after which no further one, $5 length of the lease, $6 the number
-- behind which they stand. What
-- another relay is just taking is stepped over.
WITH clock AS MATERIALIZED (SELECT riqle.now($1) AS now),
free AS MATERIALIZED (
    SELECT number, octet_length(payload) AS bytes FROM riqle.staged
    WHERE number > $6 AND refused_at IS NULL AND (taken_by IS NULL OR taken_by = $2 OR taken_until <= (SELECT now FROM clock))
    ORDER BY number LIMIT $3 FOR UPDATE SKIP LOCKED
),
fitting AS MATERIALIZED (
    SELECT number FROM (SELECT number, sum(bytes) OVER (ORDER BY number) - bytes AS bytes_before FROM free) summed
    WHERE bytes_before < $4
),
taken AS (
    UPDATE riqle.staged s SET taken_by = $2, taken_until = clock.now + $5
    FROM fitting CROSS JOIN clock WHERE s.number = fitting.number
    RETURNING s.number, s.kind, s.id, clock.now - s.staged_at AS waited, s.head, s.codec, s.payload
)
SELECT * FROM taken ORDER BY number
