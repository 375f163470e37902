-- Runs that are due at a given time, and were never claimed, keep to the machine's clock.
UPDATE riqle_runs SET due_at = at + (SELECT offset FROM riqle_clock WHERE one = 1)
WHERE at IS NOT NULL AND state = 'pending' AND claims = 0
