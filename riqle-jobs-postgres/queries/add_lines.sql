-- $1 frozen time, then an array each: $2 run, $3 token, $4 line, $5 level, $6 text.
INSERT INTO riqle.log_lines (run, token, line, at, attempt, level, text)
SELECT v.run, v.token, v.line, riqle.now($1), r.failures + 1, v.level, v.text
FROM unnest($2::uuid[], $3::uuid[], $4::bigint[], $5::text[], $6::text[]) WITH ORDINALITY
         AS v(run, token, line, level, text, n)
     JOIN riqle.runs r ON r.id = ANY (ARRAY[v.run])
ORDER BY v.n
