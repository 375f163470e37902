DELETE FROM riqle.events WHERE number IN
       (SELECT number FROM riqle.events WHERE received_at < $1 ORDER BY received_at LIMIT $2 FOR UPDATE SKIP LOCKED)
