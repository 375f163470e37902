-- What runs that are not kept have left.
WITH steps AS (DELETE FROM riqle.steps WHERE run = ANY ($1)),
progress AS (DELETE FROM riqle.progress WHERE run = ANY ($1))
DELETE FROM riqle.log_lines WHERE run = ANY ($1)
