-- Takes the first due runs of a queue: by priority, due time, id.
-- ARGV: 1 frozen time, 2 most runs, 3 token, 4 worker, 5 lease in milliseconds, 6 most bytes of bodies and steps, 7… jobs.
-- Answers now; when the next run is due or the next lease runs out, or false; id, due time and body of each run that is
-- claimed for the first time and is not a replay; id, due time, body, state and steps of each other.
local now, limit, token, worker = time(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4]
local till, most = now + tonumber(ARGV[5]), tonumber(ARGV[6])
if call('HEXISTS', P .. 'settings', 'pause') == 1 then return { now, false, {}, {} } end

-- Leases that ran out: their runs are among the due ones from here on.
local returned = {}
for n = 7, #ARGV do
  local job = ARGV[n]
  local lost = call('ZRANGEBYSCORE', P .. 'held:' .. job, '-inf', now, 'WITHSCORES', 'LIMIT', 0, PORTION)
  local ids = {}
  for m = 1, #lost, 2 do ids[#ids + 1] = lost[m] end
  for m, state in ipairs(get(P .. 'states', ids)) do
    put('zrem', P .. 'held:' .. job, ids[m])
    if state then
      local r = read(state)
      put('zadd', P .. 'due:' .. r.priority .. ':' .. job, r.due, ids[m])
      put('zadd', P .. 'expired:' .. job, lost[2 * m], ids[m])
      returned[1] = true
    end
  end
end
if returned[1] then
  carry_out()
  for _, kind in ipairs({ 'zrem', 'zadd' }) do plan[kind] = {} end
end

-- The lane whose next run comes first, of those that have any.
local function first_of(lanes)
  local first
  for _, lane in ipairs(lanes) do
    if lane.due and (not first or lane.due < first.due or lane.due == first.due and is_less(lane.id, first.id)) then
      first = lane
    end
  end
  return first
end

local function advance(lane)
  lane.id, lane.due = lane.list[lane.place], tonumber(lane.list[lane.place + 1])
  lane.place = lane.place + 2
end

local taken = {}
for priority = 0, 3 do
  if #taken >= limit then break end
  local lanes = {}
  for n = 7, #ARGV do
    local key = P .. 'due:' .. priority .. ':' .. ARGV[n]
    local list = call('ZRANGEBYSCORE', key, '-inf', now, 'WITHSCORES', 'LIMIT', 0, limit - #taken)
    if list[1] then
      lanes[#lanes + 1] = { key = key, job = ARGV[n], list = list, place = 1 }
      advance(lanes[#lanes])
    end
  end
  while #taken < limit do
    local lane = first_of(lanes)
    if not lane then break end
    taken[#taken + 1] = { lane.due, lane.id, lane.job, lane.key, priority }
    advance(lane)
  end
end

local first, again, bytes, place = {}, {}, 0, 1
local head = struct.pack('<c1c16c16c16i8', 'r', token, NONE, worker, now)
local rest = {}

local function steps(id)
  local saved = call('HGETALL', P .. 'steps:' .. id)
  for _, text in ipairs(saved) do bytes = bytes + #text end
  return saved
end

while place <= #taken and bytes <= most do
  local ids = {}
  for n = place, math.min(place + 99, #taken) do ids[#ids + 1] = taken[n][2] end
  local bodies, states = get(P .. 'runs', ids), get(P .. 'states', ids)
  for n, id in ipairs(ids) do
    if bytes > most then break end
    local due, id_due, job, lane, priority = taken[place + n - 1], nil, nil, nil, nil
    id_due, job, lane, priority = due[1], due[3], due[4], due[5]
    local body, state = bodies[n], states[n]
    put('zrem', lane, id)
    if body then
      bytes = bytes + #body
      local scope = string.byte(body, 9) % 4
      if state then
        local r = read(state)
        if r.kind == 'r' then
          put('zrem', P .. 'expired:' .. job, id)
          note_attempt(r, struct.pack('<I4I4Bc0i8B', 0, r.failures + 1, 7, 'crashed', -1, 0), now)
          r.crashes = r.crashes + 1
        end
        r.kind, r.token, r.worker, r.claimed = 'r', token, worker, now
        state = written(r)
        again[#again + 1] = { id, id_due, body, state, steps(id) }
      else
        local tail = rest[lane]
        if scope == 2 or not tail then
          local unique = scope == 2 and parse(body).unique or ''
          tail = struct.pack('<i8I4I4BBc0c16Bc0Hc0Hc0BI4', 0, 0, 0, priority, 0, '', NONE, #job, job, #unique, unique, 0,
            '', 0, 0)
          if scope ~= 2 then rest[lane] = tail end
        end
        state = head .. struct.pack('<i8', id_due) .. tail
        -- A replay may begin with steps.
        if math.floor(string.byte(body, 9) / 64) % 2 == 1 then
          again[#again + 1] = { id, id_due, body, state, steps(id) }
        else
          local size = #first
          first[size + 1], first[size + 2], first[size + 3] = id, id_due, body
        end
      end
      put('zadd', P .. 'held:' .. job, till, id)
      put('hset', P .. 'states', id, state)
      if scope == 1 then release(parse(body).unique, id) end
    end
  end
  place = place + #ids
end
carry_out()

local next = false
for n = 7, #ARGV do
  for priority = 0, 3 do
    local head = call('ZRANGE', P .. 'due:' .. priority .. ':' .. ARGV[n], 0, 0, 'WITHSCORES')[2]
    if head and (not next or tonumber(head) < next) then next = tonumber(head) end
  end
  local head = call('ZRANGE', P .. 'held:' .. ARGV[n], 0, 0, 'WITHSCORES')[2]
  if head and (not next or tonumber(head) < next) then next = tonumber(head) end
end
return { now, next, first, again }
