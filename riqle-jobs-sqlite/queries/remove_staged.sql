DELETE FROM riqle_staged WHERE number IN (SELECT value FROM json_each(?1))
