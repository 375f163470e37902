-- $1 frozen time, $2 ids, $3 how long an id is kept.
DELETE FROM riqle.events WHERE id = ANY (ARRAY(
    SELECT id FROM riqle.events WHERE id = ANY ($2::text[]) AND received_at <= riqle.now($1) - $3
    ORDER BY id COLLATE "C" FOR UPDATE))
