-- Stores groups of runs of one queue: of each group all or none.
-- ARGV: 1 frozen time, 2 '1' once the queue is in the set of queues, 3 number of lanes, then each lane's job and
-- priority; then each group: its number of runs, and of each run two: id, lane from 1 (2 bytes), 'n' due now, 'd' after
-- a delay or 'a' at a time, its milliseconds (8 bytes), for how many its event's key is held, -1: it has none (8 bytes);
-- and its body, without the time of its enqueue.
-- Answers 'unknown' where a job is new to the queue and the queue may be, else a list a group: 'n' for each new run, or
-- the id that represents it, after a 'j' where an event joins it; or the index of a run whose key is taken with another
-- input, and who holds it.
local answers = store_runs(ARGV)
if not answers then return 'unknown' end
carry_out()
return answers
