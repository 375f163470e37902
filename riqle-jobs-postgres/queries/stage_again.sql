UPDATE riqle.staged SET refused_at = NULL, error = NULL, taken_by = NULL, taken_until = NULL WHERE number = $1
