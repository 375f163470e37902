-- Which of the ids are stored, wherever they stand.
SELECT id FROM riqle.runs WHERE id = ANY ($1)
UNION ALL
SELECT id FROM riqle.history WHERE id = ANY ($1)
UNION ALL
SELECT id FROM riqle.dead WHERE id = ANY ($1)
