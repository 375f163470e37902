-- The claim and number of the newest log line of each run.
WITH v(run) AS (VALUES (?))
SELECT l.run, l.token, l.line
FROM v CROSS JOIN riqle_log_lines l ON l.number = (SELECT max(number) FROM riqle_log_lines WHERE run = v.run)
