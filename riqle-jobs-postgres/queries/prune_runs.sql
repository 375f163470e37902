-- A portion of what ended before $1 (history without a day of its own) and $2 (dead letters), null: nothing. Steps and
-- notes go with their runs. $3 the size of a portion.
WITH history AS (
    DELETE FROM riqle.history_rest WHERE id IN (
        SELECT id FROM riqle.history_rest WHERE ended_at < $1 ORDER BY ended_at LIMIT $3 FOR UPDATE SKIP LOCKED)
    RETURNING id
),
dead AS (
    DELETE FROM riqle.dead WHERE id IN (
        SELECT id FROM riqle.dead WHERE ended_at < $2 ORDER BY ended_at LIMIT $3 FOR UPDATE SKIP LOCKED)
    RETURNING id
),
pruned AS MATERIALIZED (SELECT id FROM history UNION ALL SELECT id FROM dead),
steps AS (DELETE FROM riqle.steps WHERE run IN (SELECT id FROM pruned)),
progress AS (DELETE FROM riqle.progress WHERE run IN (SELECT id FROM pruned)),
lines AS (DELETE FROM riqle.log_lines WHERE run IN (SELECT id FROM pruned))
SELECT count(*) AS runs FROM pruned
