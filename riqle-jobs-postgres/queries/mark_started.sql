-- An array each: $1 event, $2 how many runs it has started.
UPDATE riqle.events e SET started = v.started
FROM unnest($1::text[], $2::bigint[]) AS v(id, started) WHERE e.id = ANY (ARRAY[v.id])
