-- ?1 and ?2 job and name behind which the page begins, ?3 the job, null: any; ?4 what names begin with; ?5 how many.
SELECT * FROM riqle_schedules_seen
WHERE (job, name) > (?1, ?2) AND name >= ' ' AND (?3 IS NULL OR job = ?3)
  AND substr(name, 1, length(?4)) = ?4
ORDER BY job, name LIMIT ?5
