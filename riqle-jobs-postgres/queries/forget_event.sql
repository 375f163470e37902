DELETE FROM riqle.events WHERE id = ANY ($2) AND received_at <= riqle.now($1) - $3
