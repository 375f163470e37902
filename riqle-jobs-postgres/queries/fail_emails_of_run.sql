-- Whoever still sends one must not make it pending again: nobody would take it up.
UPDATE riqle.emails SET status = 'failed', error = $3, sender = NULL, updated_at = riqle.now($1)
WHERE run_id = $2 AND status = 'pending'
