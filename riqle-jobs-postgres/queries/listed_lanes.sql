-- $1 job, $2 queue, null: any; $3 whether to see which of the lanes hold many pending runs.
SELECT lane, $3 AND EXISTS (
           SELECT 1 FROM riqle.runs WHERE lane = l.lane AND state = 'pending' ORDER BY due_at OFFSET 1000 LIMIT 1
       ) AS is_full
FROM riqle.lanes l WHERE ($1::text IS NULL OR job = $1) AND ($2::text IS NULL OR queue = $2)
