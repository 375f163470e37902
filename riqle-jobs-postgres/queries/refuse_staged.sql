-- $1 frozen time, $2 number, $3 error.
UPDATE riqle.staged SET refused_at = riqle.now($1), error = $3 WHERE number = $2 AND refused_at IS NULL
