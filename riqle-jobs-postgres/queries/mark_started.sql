-- An array each: $1 event, $2 its runs.
UPDATE riqle.events e SET runs = v.runs
FROM unnest($1::text[], $2::text[]) AS v(id, runs) WHERE e.id = ANY (ARRAY[v.id])
