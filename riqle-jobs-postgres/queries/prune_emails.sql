DELETE FROM riqle.emails WHERE id IN
       (SELECT id FROM riqle.emails WHERE created_at < $1 AND status <> 'pending' ORDER BY created_at LIMIT $2)
