-- Null filters nothing.
SELECT lane FROM riqle_lanes WHERE (?1 IS NULL OR job = ?1) AND (?2 IS NULL OR queue = ?2)
