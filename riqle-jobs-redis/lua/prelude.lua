-- What every script begins with. KEYS[1] is the prefix of the keys, with the hash tag in it; all other keys begin with it.
-- A run's id, token and worker are 16 bytes; times and lengths are milliseconds; numbers in stored values are little endian.
-- Lua does not roll back: a script looks, gathers what it will write in a plan, and carries it out at the end.
local P = KEYS[1]
local call = redis.call
local NONE = string.rep('\0', 16)
-- Lua's stack holds no more arguments than some thousands.
local PORTION = 1000

-- The frozen time, or the server's.
local function time(frozen)
  if frozen ~= '' then return tonumber(frozen) end
  local now = call('TIME')
  return now[1] * 1000 + math.floor(now[2] / 1000)
end

-- Whether an id comes before another. They are not text: the order of Lua's strings depends on the server's locale.
local function is_less(a, b)
  for place = 1, 16 do
    local x, y = string.byte(a, place), string.byte(b, place)
    if x ~= y then return x < y end
  end
  return false
end

-- The values of fields of a hash, in order.
local function get(key, fields)
  local values = {}
  for first = 1, #fields, PORTION do
    local last = math.min(first + PORTION - 1, #fields)
    local found = call('HMGET', key, unpack(fields, first, last))
    for n = 1, #found do values[first + n - 1] = found[n] end
  end
  return values
end

local plan = { zrem = {}, hdel = {}, del = {}, srem = {}, sadd = {}, zadd = {}, hset = {}, rpush = {}, sort = {} }
local TYPES = { zrem = 'zset', hdel = 'hash', srem = 'set', sadd = 'set', zadd = 'zset', hset = 'hash', rpush = 'list', sort = 'zset' }

-- Plans a command: of a sorted set score and member, of a hash field and value, else a member. 'sort' puts a group of dead
-- letters, once it is as planned, where its last one belongs.
local function put(kind, key, one, two)
  local list = plan[kind][key]
  if not list then
    list = {}
    plan[kind][key] = list
  end
  list[#list + 1] = one
  if two ~= nil then list[#list + 1] = two end
end

-- Checks the types, then writes. What frees memory goes first: Redis asks for memory before the first write only, so a
-- script that has something to free gets through, and one that only adds is refused whole.
local function carry_out()
  for kind, keys in pairs(plan) do
    for key in pairs(keys) do
      local type = TYPES[kind] and call('TYPE', key).ok
      if type and type ~= TYPES[kind] and type ~= 'none' then
        error('RIQLE ' .. key .. ' is a ' .. type .. ', not a ' .. TYPES[kind])
      end
    end
  end
  for _, kind in ipairs({ 'zrem', 'hdel', 'srem', 'del', 'sadd', 'zadd', 'hset', 'rpush' }) do
    for key, list in pairs(plan[kind]) do
      if kind == 'del' then
        call('DEL', key)
      else
        for first = 1, #list, PORTION do
          call(kind, key, unpack(list, first, math.min(first + PORTION - 1, #list)))
        end
      end
    end
  end
  local sorted = {}
  for key, names in pairs(plan.sort) do
    for _, name in ipairs(names) do
      if not sorted[name] then
        sorted[name] = true
        local last = call('ZRANGE', P .. 'group:' .. name, -1, -1, 'WITHSCORES')[2]
        if last then call('ZADD', key, '-' .. last, name) else call('ZREM', key, name) end
      end
    end
  end
end

-- What changes of a run, as rows.rs reads it too.
local STATE = '<c1c16c16c16i8i8i8I4I4BBc0c16Bc0Hc0Hc0BI4c0'

local function read(text)
  local r, place = {}, nil
  r.kind, r.token, r.settled, r.worker, r.claimed, r.due, r.ended, r.failures, r.crashes, r.priority, r.reason,
    r.replayed, r.job, r.unique, r.error, r.attempts, r.log, place = struct.unpack(STATE, text)
  r.output = string.sub(text, place)
  return r
end

local function written(r)
  return struct.pack(STATE, r.kind, r.token, r.settled, r.worker, r.claimed, r.due, r.ended, r.failures, r.crashes,
    r.priority, #r.reason, r.reason, r.replayed, #r.job, r.job, #r.unique, r.unique, #r.error, r.error, r.attempts,
    #r.log, r.log) .. r.output
end

-- Adds the record of the attempt that ends now; the newest 25 are kept. It represents one more (the first number of what is
-- given) than the newest of its outcome since the last that can't be joined, which has a 0 there, and takes its place.
local function note_attempt(r, rest, now)
  local started, times, _, outcome = r.claimed, struct.unpack('<I4I4Bc0', rest)
  if times > 0 then
    local place, from, till = 1, nil, nil
    while place <= #r.log do
      local size, began, _, _, count, _, word = struct.unpack('<I4i8i8c16I4I4Bc0', r.log, place)
      if count == 0 then
        from = nil
      elseif word == outcome then
        from, till, started, times = place, place + 3 + size, began, count + 1
      end
      place = place + 4 + size
    end
    if from then
      r.log = string.sub(r.log, 1, from - 1) .. string.sub(r.log, till + 1)
      r.attempts = r.attempts - 1
    else
      started, times = r.claimed, 1
    end
  end
  local record = struct.pack('<i8i8', started, now) .. r.worker .. struct.pack('<I4', times) .. string.sub(rest, 5)
  if r.attempts >= 25 then
    r.log = string.sub(r.log, 5 + struct.unpack('<I4', r.log))
  else
    r.attempts = r.attempts + 1
  end
  r.log = r.log .. struct.pack('<I4', #record) .. record
end

-- What never changes of a run, as far as scripts look at it: priority, job, unique key, reference, event, schedule.
local function parse(body)
  local b, flags, place = {}, nil, nil
  flags, b.priority, b.job, place = struct.unpack('<BBBc0', body, 9)
  b.scope = flags % 4
  if b.scope > 0 then
    b.period, b.print, b.key, place = struct.unpack('<i8c16Hc0', body, place)
    b.unique = b.job .. '\0' .. b.key
  end
  if math.floor(flags / 8) % 2 == 1 then b.reference, place = struct.unpack('<Hc0', body, place) end
  if math.floor(flags / 16) % 2 == 1 then b.event, place = struct.unpack('<Hc0', body, place) end
  if flags >= 128 then b.schedule = b.job .. '\0' .. struct.unpack('<Hc0', body, place) end
  return b
end

-- A schedule as it is kept: its version, whether the end of a run makes it due, when it is due (-1: not before something
-- changes), and what follows.
local SCHEDULE = '<i8Bi8'

local function put_schedule(schedule, version, wakes, due, rest)
  local job, name = string.match(schedule, '^(%Z*)%z(.*)$')
  put('hset', P .. 'schedules', schedule, struct.pack(SCHEDULE, version, wakes, due) .. rest)
  if due < 0 then
    put('zrem', P .. 'schedules:due:' .. job, name)
  else
    put('zadd', P .. 'schedules:due:' .. job, due, name)
  end
  put(wakes == 1 and 'sadd' or 'srem', P .. 'schedules:waking', schedule)
end

-- A run of a schedule has ended. A schedule that waits for it gets another version and is due, in 1970 so that it is by any clock.
-- Answers whether it waited.
local touched = {}
local function leave_schedule(id, schedule)
  put('hdel', P .. 'scheduled', id)
  put('zrem', P .. 'live:' .. schedule, id)
  local row = touched[schedule] or call('HGET', P .. 'schedules', schedule)
  if not row then return false end
  local version, wakes, _, place = struct.unpack(SCHEDULE, row)
  if wakes == 0 then return false end
  touched[schedule] = struct.pack(SCHEDULE, version + 1, wakes, 0) .. string.sub(row, place)
  put_schedule(schedule, version + 1, wakes, 0, string.sub(row, place))
  return true
end

-- Lets go of a unique key, unless it belongs to a later run by now.
local function release(unique, id)
  local holder = call('HGET', P .. 'unique', unique)
  if holder and string.sub(holder, 1, 16) == id then
    put('hdel', P .. 'unique', unique)
    put('zrem', P .. 'expiring', unique)
  end
end

-- Dead letters of a job with similar newest errors, or none, are in one group.
local function group(r)
  return r.job .. '\0' .. string.sub(r.error, 2)
end

local function join_group(id, r)
  put('zadd', P .. 'group:' .. group(r), r.ended, id)
  put('zadd', P .. 'dead-errors:' .. r.job, 0, string.sub(r.error, 2) .. '\0' .. id)
  put('sort', P .. 'groups', group(r))
end

local function leave_group(id, r)
  put('zrem', P .. 'group:' .. group(r), id)
  put('zrem', P .. 'dead-errors:' .. r.job, string.sub(r.error, 2) .. '\0' .. id)
  put('sort', P .. 'groups', group(r))
end

-- The standing of a token towards a run: it holds it, an operator cancelled the run under it, it settled it, or none of these.
local function fence(r, token)
  if not r then return 'lost' end
  if r.kind == 'r' and r.token == token then return 'holds' end
  if r.kind == 'c' and r.token == token then return 'cancelled' end
  if r.settled == token then return 'settled' end
  return 'lost'
end

-- Takes a running run out of its list: among the held, or, once its lease was found to have run out, the due.
local has_expired = {}
local function take_out(id, r)
  local expired = P .. 'expired:' .. r.job
  if has_expired[expired] == nil then has_expired[expired] = call('ZCARD', expired) > 0 end
  if has_expired[expired] and call('ZSCORE', expired, id) then
    put('zrem', expired, id)
    put('zrem', P .. 'due:' .. r.priority .. ':' .. r.job, id)
  else
    put('zrem', P .. 'held:' .. r.job, id)
  end
end

-- Takes a running run out of its lease list, and puts it back: a script that adds then asks for no memory.
local function put_back(id, r)
  for _, list in ipairs({ 'held:', 'expired:' }) do
    local key = P .. list .. r.job
    local till = call('ZSCORE', key, id)
    if till then
      put('zrem', key, id)
      put('zadd', key, till, id)
    end
  end
end
