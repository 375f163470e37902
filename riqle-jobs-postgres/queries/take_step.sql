-- $1: the frozen time, $2: run, $3: name. The row is locked until the transaction ends, so a second one waits for that.
INSERT INTO riqle.kept_steps AS kept (run, name, kept_at, is_kept, codec, result)
VALUES ($2, $3, riqle.now($1), false, 0, '')
ON CONFLICT (run, name) DO UPDATE SET name = kept.name
RETURNING is_kept, codec, result
