-- Whoever still sends one must not make it pending again: nobody would take it up.
UPDATE riqle_emails SET status = 'failed', error = ?2, sender = NULL, updated_at = ?3
WHERE run_id = ?1 AND status = 'pending'
