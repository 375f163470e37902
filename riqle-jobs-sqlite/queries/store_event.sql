DELETE FROM riqle_events WHERE id = ?1 AND received_at <= ?7;
INSERT INTO riqle_events (id, name, received_at, due_at, codec, data) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (id) DO NOTHING;
SELECT * FROM riqle_events WHERE id = ?1;
