-- Stores groups of runs of one queue: of each group all or none.
-- ARGV: 1 frozen time, 2 '1' once the queue is in the set of queues, 3 number of lanes, then each lane's job and
-- priority; then each group: its number of runs, and of each run two: id, lane from 1 (2 bytes), 'n' due now, 'd' after
-- a delay or 'a' at a time, and its milliseconds (8 bytes); and its body, without the time of its enqueue.
-- Answers 'unknown' where a job is new to the queue and the queue may be, else a list a group: 'n' for each new run, or
-- the id that represents it; or the index of a run whose key is taken with another input, and who holds it.
local now = time(ARGV[1])
local place = 4
local lanes = {}
for n = 1, tonumber(ARGV[3]) do
  lanes[n] = { job = ARGV[place], due = P .. 'due:' .. ARGV[place + 1] .. ':' .. ARGV[place],
    open = P .. 'open:' .. ARGV[place] }
  place = place + 2
  if call('SISMEMBER', P .. 'jobs', lanes[n].job) == 0 then
    if ARGV[2] ~= '1' then return 'unknown' end
    put('sadd', P .. 'jobs', lanes[n].job)
  end
end

local groups, ids = {}, {}
while place <= #ARGV do
  local group = { first = place + 1, runs = tonumber(ARGV[place]) }
  for n = 0, group.runs - 1 do ids[#ids + 1] = string.sub(ARGV[group.first + 2 * n], 1, 16) end
  groups[#groups + 1] = group
  place = group.first + 2 * group.runs
end
local stored = get(P .. 'runs', ids)

local known, holders = {}, {}
-- Who holds a key: in an earlier run of this call, or in the store.
local function holder(unique, of_group)
  local held = of_group[unique] or holders[unique]
  if held == nil then
    local value = call('HGET', P .. 'unique', unique)
    if value then
      local run, print, expires = struct.unpack('<c16c16i8', value)
      if expires == 0 or expires > now then held = { run = run, print = print } end
    end
    holders[unique] = held or false
  end
  return held
end

local stamp = struct.pack('<i8', now)
local answers, number = {}, 0
local runs = P .. 'runs'
for g, group in ipairs(groups) do
  local answer, new, of_group, conflict = {}, {}, {}, nil
  for n = 0, group.runs - 1 do
    local head, body = ARGV[group.first + 2 * n], ARGV[group.first + 2 * n + 1]
    local id = ids[number + n + 1]
    local flags = string.byte(body, 1)
    if stored[number + n + 1] or known[id] or of_group[id] then
      answer[n + 1] = id
    else
      local b = flags % 16 ~= 0 and parse(stamp .. body)
      local held = b and b.unique and holder(b.unique, of_group)
      if held and held.print ~= b.print and math.floor(flags / 4) % 2 == 0 then
        conflict = { n, held.run }
        break
      elseif held then
        answer[n + 1] = held.run
      else
        of_group[id] = true
        if b and b.unique then of_group[b.unique] = { run = id, print = b.print } end
        new[#new + 1] = { id, head, body, b }
        answer[n + 1] = 'n'
      end
    end
  end
  if conflict then
    answers[g] = conflict
  else
    answers[g] = answer
    for key, value in pairs(of_group) do
      if value == true then known[key] = true else holders[key] = value end
    end
    for _, run in ipairs(new) do
      local id, b = run[1], run[4]
      local lane_number, kind, millis = struct.unpack('<Hc1i8', run[2], 17)
      local lane = lanes[lane_number]
      local due = kind == 'n' and now or kind == 'd' and now + millis or millis
      put('hset', runs, id, stamp .. run[3])
      put('zadd', lane.due, due, id)
      put('zadd', lane.open, 0, id)
      if b and b.unique then
        local expires = b.scope == 3 and now + b.period or 0
        put('hset', P .. 'unique', b.unique, struct.pack('<c16c16i8', id, b.print, expires))
        put('zadd', P .. 'keys', 0, b.key .. '\0' .. id)
        if expires ~= 0 then put('zadd', P .. 'expiring', expires, b.unique) end
      end
      if b and b.reference then put('zadd', P .. 'references', 0, b.reference .. '\0' .. id) end
    end
  end
  number = number + group.runs
end
carry_out()
return answers
