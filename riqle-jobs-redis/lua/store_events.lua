-- Stores events; what came less than so long ago under an id stays. ARGV: 1 frozen time, 2 for how many milliseconds an id
-- is kept that says nothing else, then three an event: id, name, and what is kept of it. Answers what is stored under each id.
local now = time(ARGV[1])
local stored, known = {}, {}
local number = tonumber(call('HGET', P .. 'events:next', 'number') or '0')
for n = 3, #ARGV, 3 do
  local id, name = ARGV[n], ARGV[n + 1]
  local before = known[id] or call('HGET', P .. 'events', id)
  if before then
    local received, old_number, old_name, _, place = struct.unpack('<i8i8Hc0I4c0', before)
    local kept = tonumber(ARGV[2])
    if math.floor(string.byte(before, place) / 2) % 2 == 1 then kept = struct.unpack('<i8', before, place + 1) end
    if received + kept <= now then
      put('zrem', P .. 'events:idle:' .. old_name, struct.pack('>I4I4', math.floor(old_number / 2 ^ 32), old_number % 2 ^ 32) .. id)
      before = nil
    end
  end
  if not before then
    number = number + 1
    before = struct.pack('<i8i8Hc0I4', now, number, #name, name, 0) .. ARGV[n + 2]
    put('hset', P .. 'events', id, before)
    put('zadd', P .. 'events:received', now, id)
    put('zadd', P .. 'events:idle:' .. name, 0, struct.pack('>I4I4', math.floor(number / 2 ^ 32), number % 2 ^ 32) .. id)
    put('hset', P .. 'events:next', 'number', string.format('%.0f', number))
  end
  known[id] = before
  stored[#stored + 1] = before
end
carry_out()
return stored
