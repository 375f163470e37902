-- A cancel, and what is behind it, is nobody's while another relay has anything up to it.
-- ?1 now, ?2 the relay's token, ?3 most items, ?4 bytes after which no further one, ?5 end of the lease, ?6 the number behind which
-- they stand.
UPDATE riqle_staged SET taken_by = ?2, taken_until = ?5
WHERE number IN (
    SELECT number FROM (
        SELECT number, sum(bytes) OVER (ORDER BY number) - bytes AS bytes_before FROM (
            SELECT number, length(payload) AS bytes FROM riqle_staged INDEXED BY riqle_staged_waiting
            WHERE number > ?6 AND refused_at IS NULL AND (taken_by IS NULL OR taken_by = ?2 OR taken_until <= ?1)
                AND number < coalesce((
                    SELECT min(number) FROM riqle_staged WHERE kind = 'cancel' AND refused_at IS NULL AND number >= (
                        SELECT min(number) FROM riqle_staged
                        WHERE refused_at IS NULL AND taken_by <> ?2 AND taken_until > ?1)), 9223372036854775807)
            ORDER BY number LIMIT ?3))
    WHERE bytes_before < ?4)
RETURNING number, kind, id, staged_at, head, codec, payload
