-- ?1 the queue, ?2 jobs, ?3 now by the wall clock, ?4 how many. The live runs are read of those alone.
SELECT * FROM riqle_schedules_seen
WHERE (job, name) IN (
    SELECT job, name FROM riqle_schedules
    WHERE queue = ?1 AND job IN (SELECT value FROM json_each(?2)) AND due_at <= ?3
      AND NOT EXISTS (SELECT 1 FROM riqle_queues q WHERE q.queue = ?1 AND q.paused_at IS NOT NULL)
    ORDER BY due_at, job, name LIMIT ?4
)
ORDER BY due_at, job, name
