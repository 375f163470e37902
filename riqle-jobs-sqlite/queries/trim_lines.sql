-- Keeps the newest lines of each run, so many as are given.
WITH given(kept) AS (SELECT ?), v(run) AS (VALUES (?))
DELETE FROM riqle_log_lines WHERE number IN (
    SELECT l.number
    FROM v CROSS JOIN riqle_log_lines l ON l.run = v.run
    WHERE l.number <= (SELECT number FROM riqle_log_lines WHERE run = v.run
                       ORDER BY number DESC LIMIT 1 OFFSET (SELECT kept FROM given))
)
