WITH gone AS (DELETE FROM riqle.dead WHERE id = $1 RETURNING id),
steps AS (DELETE FROM riqle.steps WHERE run = ANY (ARRAY(SELECT id FROM gone))),
progress AS (DELETE FROM riqle.progress WHERE run = ANY (ARRAY(SELECT id FROM gone))),
lines AS (DELETE FROM riqle.log_lines WHERE run = ANY (ARRAY(SELECT id FROM gone)))
SELECT count(*) FROM gone
