-- Schedules that are due. ARGV: 1 frozen time, 2 how many, 3… jobs. Answers now; when the next is due, or false; and of each that
-- is due, first due first: job and name, what is kept of it, and its newest runs that have not ended. One that is on its way to
-- another queue is not due here.
local now, limit = time(ARGV[1]), tonumber(ARGV[2])
if call('HEXISTS', P .. 'settings', 'pause') == 1 then return { now, false, {} } end
local due, next, any_closed = {}, false, call('EXISTS', P .. 'schedules:closed') == 1
for n = 3, #ARGV do
  local key = P .. 'schedules:due:' .. ARGV[n]
  local list = call('ZRANGEBYSCORE', key, '-inf', now, 'WITHSCORES', 'LIMIT', 0, limit + 1)
  for m = 1, #list, 2 do
    local schedule = ARGV[n] .. '\0' .. list[m]
    if not any_closed or call('SISMEMBER', P .. 'schedules:closed', schedule) == 0 then
      due[#due + 1] = { tonumber(list[m + 1]), schedule }
    end
  end
  local later = call('ZRANGEBYSCORE', key, string.format('(%.0f', now), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
  if later and (not next or tonumber(later) < next) then next = tonumber(later) end
end
table.sort(due, function(a, b) return a[1] < b[1] end)
if due[limit + 1] then next = due[limit + 1][1] end
local found = {}
for n = 1, math.min(#due, limit) do
  local schedule = due[n][2]
  local size = #found
  found[size + 1], found[size + 2] = schedule, call('HGET', P .. 'schedules', schedule)
  found[size + 3] = call('ZREVRANGEBYLEX', P .. 'live:' .. schedule, '+', '-', 'LIMIT', 0, 100)
end
return { now, next, found }
