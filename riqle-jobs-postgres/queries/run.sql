SELECT a.*, l.queue, l.job, l.priority FROM riqle.all_runs a JOIN riqle.lanes l USING (lane) WHERE a.id = $1
