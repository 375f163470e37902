-- $1 frozen time, $2 the relay's token, $3 most items, $4 bytes after which no further one, $5 length of the lease, $6 the number
-- behind which they stand. One relay takes at a time. A cancel, and what is behind it, is nobody's while another relay has
-- anything up to it.
WITH clock AS MATERIALIZED (SELECT riqle.now($1) AS now),
barrier AS MATERIALIZED (
    SELECT min(number) AS number FROM riqle.staged
    WHERE kind = 'cancel' AND refused_at IS NULL AND number >= (
        SELECT min(number) FROM riqle.staged
        WHERE refused_at IS NULL AND taken_by <> $2 AND taken_until > (SELECT now FROM clock))
),
free AS MATERIALIZED (
    SELECT number, octet_length(payload) AS bytes FROM riqle.staged
    WHERE number > $6 AND refused_at IS NULL AND (taken_by IS NULL OR taken_by = $2 OR taken_until <= (SELECT now FROM clock))
        AND number < coalesce((SELECT number FROM barrier), 9223372036854775807)
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
