DELETE FROM riqle_queues WHERE queue = ?1 AND paused_at IS NOT NULL
