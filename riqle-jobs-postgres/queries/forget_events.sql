-- $1 frozen time, $2 ids. Those that came so long ago that their ids are free again.
DELETE FROM riqle.events WHERE id = ANY (ARRAY(
    SELECT id FROM riqle.events WHERE id = ANY ($2::text[]) AND received_at + id_kept <= riqle.now($1)
    ORDER BY id COLLATE "C" FOR UPDATE))
