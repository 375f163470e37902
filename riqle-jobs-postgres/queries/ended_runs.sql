-- An array each: $1 number, $2 run. The numbers of those that have ended.
SELECT n FROM unnest($1::bigint[], $2::uuid[]) AS v(n, run)
WHERE (SELECT true FROM riqle.runs WHERE id = v.run) IS NULL
