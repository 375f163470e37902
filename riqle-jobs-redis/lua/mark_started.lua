-- Counts what events have started. ARGV: two an event: id, how many runs. One that is not there is let be.
for n = 1, #ARGV, 2 do
  local id, runs = ARGV[n], tonumber(ARGV[n + 1])
  local stored = call('HGET', P .. 'events', id)
  if stored then
    local received, _, number, name, place = struct.unpack('<i8I4i8Hc0', stored)
    local idle = P .. 'events:idle:' .. name
    local member = struct.pack('>I4I4', math.floor(number / 2 ^ 32), number % 2 ^ 32) .. id
    if runs == 0 then put('zadd', idle, 0, member) else put('zrem', idle, member) end
    put('hset', P .. 'events', id, struct.pack('<i8I4i8Hc0', received, runs, number, #name, name) .. string.sub(stored, place))
  end
end
carry_out()
return true
