UPDATE riqle_staged SET refused_at = ?2, error = ?3 WHERE number = ?1 AND refused_at IS NULL
