DELETE FROM riqle.queues WHERE queue = $1
