-- Writes schedules whose version is still the one that was read, and stores their runs. ARGV: 1 number of writes, then six a
-- write: job and name; the version that was read ('' none); the new version, whether the end of a run makes it due and when it is
-- due, as a row begins; what follows ('' where it is removed); the ids of runs that must live; '1' where a run starts with it,
-- else '0'. Then what `enqueue.lua` takes, a group of one run each.
-- Answers 'unknown' as that does; else of each write 's' stale, or on its way to another queue, 'o' written before, or 'w' written,
-- and of each run what `enqueue.lua` answers. Nothing is written where the key of one is taken with another input.
local count, place = tonumber(ARGV[1]), 2
local standings, starts, rows = {}, {}, {}
local function all_live(schedule, runs)
  for place = 1, #runs, 16 do
    if not call('ZSCORE', P .. 'live:' .. schedule, string.sub(runs, place, place + 15)) then return false end
  end
  return true
end
for n = 1, count do
  local schedule, expects, row, rest = ARGV[place], ARGV[place + 1], ARGV[place + 2], ARGV[place + 3]
  local runs, has_run = ARGV[place + 4], ARGV[place + 5] == '1'
  local found = rows[schedule]
  if found == nil then found = call('HGET', P .. 'schedules', schedule) end
  local known = found and struct.unpack('<i8', found)
  local version, wakes, due = struct.unpack(SCHEDULE, row)
  local expected = expects ~= '' and tonumber(expects)
  local is_closed = rest ~= '' and call('SISMEMBER', P .. 'schedules:closed', schedule) == 1
  if rest == '' and not known or rest ~= '' and known == version then
    standings[n] = 'o'
  elseif known ~= expected or is_closed or not all_live(schedule, runs) then
    standings[n] = 's'
  else
    standings[n] = 'w'
    if rest == '' then
      local job, name = string.match(schedule, '^(%Z*)%z(.*)$')
      put('hdel', P .. 'schedules', schedule)
      put('zrem', P .. 'schedules:names', schedule)
      put('zrem', P .. 'schedules:due:' .. job, name)
      put('srem', P .. 'schedules:waking', schedule)
      put('srem', P .. 'schedules:closed', schedule)
      rows[schedule] = false
    else
      put('zadd', P .. 'schedules:names', 0, schedule)
      put_schedule(schedule, version, wakes, due, rest)
      rows[schedule] = row .. rest
    end
  end
  if has_run then starts[#starts + 1] = standings[n] == 'w' end
  place = place + 6
end
-- Of the runs those whose schedule is written.
local enqueued, group = {}, 0
for n = 0, 2 do enqueued[n + 1] = ARGV[place + n] end
place = place + 3
for _ = 1, 2 * tonumber(enqueued[3]) do
  enqueued[#enqueued + 1] = ARGV[place]
  place = place + 1
end
while place <= #ARGV do
  group = group + 1
  if starts[group] then
    for n = 0, 2 do enqueued[#enqueued + 1] = ARGV[place + n] end
  end
  place = place + 3
end
local answers = store_runs(enqueued)
if not answers then return 'unknown' end
for _, answer in ipairs(answers) do
  if type(answer[1]) == 'number' then return { standings, answers } end
end
carry_out()
return { standings, answers }
