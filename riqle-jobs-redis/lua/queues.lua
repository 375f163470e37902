-- How a queue stands. ARGV: 1 frozen time. Answers now; the pause or false; and of each job its name, runs that have not
-- ended, running, expired, due, the first due time of a pending run or false, succeeded, cancelled, dead.
local now = time(ARGV[1])
local jobs = {}
for _, job in ipairs(call('SMEMBERS', P .. 'jobs')) do
  local expired = call('ZCARD', P .. 'expired:' .. job)
  local held = call('ZCARD', P .. 'held:' .. job)
  local due, first = -expired, false
  for priority = 0, 3 do
    local lane = P .. 'due:' .. priority .. ':' .. job
    due = due + call('ZCOUNT', lane, '-inf', now)
    local place, found = 0, false
    repeat
      local portion = call('ZRANGEBYSCORE', lane, '-inf', now, 'WITHSCORES', 'LIMIT', place, 100)
      for n = 1, #portion, 2 do
        -- Runs whose lease ran out stand there too.
        if not found and (expired == 0 or not call('ZSCORE', P .. 'expired:' .. job, portion[n])) then
          found = tonumber(portion[n + 1])
        end
      end
      place = place + 100
    until found or #portion < 200
    if found and (not first or found < first) then first = found end
  end
  jobs[#jobs + 1] = { job, call('ZCARD', P .. 'open:' .. job), held + expired,
    expired + call('ZCOUNT', P .. 'held:' .. job, '-inf', now), due, first, call('ZCARD', P .. 'succeeded:' .. job),
    call('ZCARD', P .. 'cancelled:' .. job), call('ZCARD', P .. 'dead:' .. job) }
end
return { now, call('HGET', P .. 'settings', 'pause'), jobs }
