-- An array each: run, done, total, text. Of a run that is named twice the last one stays.
INSERT INTO riqle.progress (run, done, total, text)
SELECT DISTINCT ON (run) run, done, total, text
FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::text[]) WITH ORDINALITY AS v(run, done, total, text, n)
ORDER BY run, n DESC
ON CONFLICT (run) DO UPDATE SET done = excluded.done, total = excluded.total, text = excluded.text
