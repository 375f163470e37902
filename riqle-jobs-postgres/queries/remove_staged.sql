DELETE FROM riqle.staged WHERE number = ANY ($1::bigint[])
