WITH given(now) AS (SELECT ?), v(run, token, line, level, text) AS (VALUES (?, ?, ?, ?, ?))
INSERT INTO riqle_log_lines (run, token, line, at, attempt, level, text)
SELECT v.run, v.token, v.line, (SELECT now FROM given), r.failures + 1, v.level, v.text
FROM v CROSS JOIN riqle_runs r ON r.id = v.run
