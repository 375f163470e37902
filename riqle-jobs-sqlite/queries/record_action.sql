INSERT INTO riqle_actions (id, at, changed_at, action) VALUES (?1, ?2, ?2, ?3)
ON CONFLICT (id) DO UPDATE SET changed_at = excluded.changed_at, action = excluded.action
