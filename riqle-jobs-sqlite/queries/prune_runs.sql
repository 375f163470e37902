-- A portion of what ended before ?1 (history) and ?2 (dead letters), null: nothing. Steps and notes go with their runs.
CREATE TEMP TABLE IF NOT EXISTS riqle_pruned (id BLOB PRIMARY KEY) WITHOUT ROWID;
DELETE FROM temp.riqle_pruned;
INSERT INTO temp.riqle_pruned
SELECT id FROM (SELECT id FROM riqle_history WHERE ended_at < ?1 ORDER BY ended_at LIMIT ?3);
INSERT INTO temp.riqle_pruned
SELECT id FROM (SELECT id FROM riqle_dead WHERE ended_at < ?2 ORDER BY ended_at LIMIT ?3);
DELETE FROM riqle_steps WHERE run IN (SELECT id FROM temp.riqle_pruned);
DELETE FROM riqle_progress WHERE run IN (SELECT id FROM temp.riqle_pruned);
DELETE FROM riqle_log_lines WHERE run IN (SELECT id FROM temp.riqle_pruned);
DELETE FROM riqle_history WHERE id IN (SELECT id FROM temp.riqle_pruned);
DELETE FROM riqle_dead WHERE id IN (SELECT id FROM temp.riqle_pruned);
SELECT count(*) FROM temp.riqle_pruned;
