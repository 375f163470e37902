INSERT INTO riqle_clock (one, boot, ahead, offset, noted_at) VALUES (1, ?1, ?2, ?3, ?4)
ON CONFLICT (one) DO UPDATE
SET boot = excluded.boot, ahead = excluded.ahead, offset = excluded.offset, noted_at = excluded.noted_at
