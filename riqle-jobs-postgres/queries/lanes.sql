INSERT INTO riqle.lanes (lane, queue, job, priority)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::smallint[]) AS v(lane, queue, job, priority) ORDER BY lane
ON CONFLICT DO NOTHING
