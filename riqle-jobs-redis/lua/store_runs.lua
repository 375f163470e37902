-- Plans to store groups of runs of one queue: of each group all or none. Takes what `enqueue.lua` says of its ARGV, answers what it
-- answers, and false where it answers 'unknown'.
local function store_runs(ARGV)
  local now = time(ARGV[1])
  local place = 4
  local lanes = {}
  for n = 1, tonumber(ARGV[3]) do
    lanes[n] = { job = ARGV[place], due = P .. 'due:' .. ARGV[place + 1] .. ':' .. ARGV[place],
      open = P .. 'open:' .. ARGV[place] }
    place = place + 2
    if call('SISMEMBER', P .. 'jobs', lanes[n].job) == 0 then
      if ARGV[2] ~= '1' then return false end
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

  -- What stands with an event's key in place of a fingerprint where the event has joined the run.
  local JOINED = string.rep('\255', 16)
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

  local function hold(key, run, print, expires)
    put('hset', P .. 'unique', key, struct.pack('<c16c16i8', run, print, expires))
    if expires ~= 0 then put('zadd', P .. 'expiring', expires, key) end
  end

  local stamp = struct.pack('<i8', now)
  local answers, number = {}, 0
  local runs = P .. 'runs'
  for g, group in ipairs(groups) do
    local answer, new, joined, of_group, conflict = {}, {}, {}, {}, nil
    for n = 0, group.runs - 1 do
      local head, body = ARGV[group.first + 2 * n], ARGV[group.first + 2 * n + 1]
      local id = ids[number + n + 1]
      local flags = string.byte(body, 1)
      if stored[number + n + 1] or known[id] or of_group[id] then
        answer[n + 1] = id
      else
        local b = (flags % 32 ~= 0 or flags >= 128) and parse(stamp .. body)
        local kept = struct.unpack('<i8', head, 28)
        local event = kept >= 0 and b.job .. '\0event/' .. b.event
        local answered = event and holder(event, of_group)
        local held = not answered and b and b.unique and holder(b.unique, of_group)
        if answered then
          answer[n + 1] = (answered.print == JOINED and 'j' or '') .. answered.run
        elseif held and event then
          of_group[event] = { run = held.run, print = JOINED }
          joined[#joined + 1] = { event, held.run, kept }
          answer[n + 1] = 'j' .. held.run
        elseif held and held.print ~= b.print and math.floor(flags / 4) % 2 == 0 then
          conflict = { n, held.run }
          break
        elseif held then
          answer[n + 1] = held.run
        else
          of_group[id] = true
          if b and b.unique then of_group[b.unique] = { run = id, print = b.print } end
          if event then of_group[event] = { run = id, print = NONE } end
          new[#new + 1] = { id, head, body, b, event, kept }
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
      for _, key in ipairs(joined) do hold(key[1], key[2], JOINED, now + key[3]) end
      for _, run in ipairs(new) do
        local id, b = run[1], run[4]
        local lane_number, kind, millis = struct.unpack('<Hc1i8', run[2], 17)
        local lane = lanes[lane_number]
        local due = kind == 'n' and now or kind == 'd' and now + millis or millis
        put('hset', runs, id, stamp .. run[3])
        put('zadd', lane.due, due, id)
        put('zadd', lane.open, 0, id)
        if b and b.unique then
          hold(b.unique, id, b.print, b.scope == 3 and now + b.period or 0)
          put('zadd', P .. 'keys', 0, b.key .. '\0' .. id)
        end
        if run[5] then hold(run[5], id, NONE, now + run[6]) end
        if b and b.reference then put('zadd', P .. 'references', 0, b.reference .. '\0' .. id) end
        if b and b.schedule then
          put('hset', P .. 'scheduled', id, b.schedule)
          put('zadd', P .. 'live:' .. b.schedule, 0, id)
        end
      end
    end
    number = number + group.runs
  end
  return answers
end
