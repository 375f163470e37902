-- Looked at again where it is deleted: a replay may have made it pending meanwhile.
DELETE FROM riqle.emails WHERE status <> 'pending' AND id IN
       (SELECT id FROM riqle.emails WHERE created_at < $1 AND status <> 'pending' ORDER BY created_at LIMIT $2)
