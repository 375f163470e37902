DELETE FROM riqle_dead WHERE id = ?1;
DELETE FROM riqle_steps WHERE run = ?1;
DELETE FROM riqle_progress WHERE run = ?1;
DELETE FROM riqle_log_lines WHERE run = ?1;
