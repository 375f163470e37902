DELETE FROM riqle.actions WHERE id IN
       (SELECT id FROM riqle.actions WHERE at < $1 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED)
