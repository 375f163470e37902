-- Schedules by name. ARGV: 1 the bounds of job and name as ZRANGEBYLEX takes them, 3 how many. Answers of each: job and name, what
-- is kept of it, and its newest runs that have not ended.
local found = {}
for _, schedule in ipairs(call('ZRANGEBYLEX', P .. 'schedules:names', ARGV[1], ARGV[2], 'LIMIT', 0, ARGV[3])) do
  local size = #found
  found[size + 1], found[size + 2] = schedule, call('HGET', P .. 'schedules', schedule)
  found[size + 3] = call('ZREVRANGEBYLEX', P .. 'live:' .. schedule, '+', '-', 'LIMIT', 0, 100)
end
return found
