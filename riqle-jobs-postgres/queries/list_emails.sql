-- A page of the email log, newest first, in the place of whose rows stands a query for ids.
WITH given AS (
    SELECT $1::uuid AS before, $2::text AS status, $3::text AS reference, $4::uuid AS run_id, $5::text AS recipient,
           $6::text AS idempotency_key, $7::text[] AS details, $8::bigint AS size
),
page AS MATERIALIZED (SELECT id FROM (/* rows */) rows ORDER BY id DESC LIMIT $8)
SELECT * FROM riqle.emails WHERE id = ANY (ARRAY(SELECT id FROM page)) ORDER BY id DESC
