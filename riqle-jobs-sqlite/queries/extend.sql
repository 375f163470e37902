WITH given(until) AS (SELECT ?), v(id) AS (VALUES (?))
UPDATE riqle_runs SET lease_until = (SELECT until FROM given)
WHERE id IN (SELECT id FROM v) AND state = 'running'
