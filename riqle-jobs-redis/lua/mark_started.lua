-- Notes the runs of events. ARGV: two an event: id, its runs as JSON; nothing: it is idle. One that is not there is let be.
for n = 1, #ARGV, 2 do
  local id, runs = ARGV[n], ARGV[n + 1]
  local stored = call('HGET', P .. 'events', id)
  if stored then
    local received, number, name, _, place = struct.unpack('<i8i8Hc0I4c0', stored)
    local idle = P .. 'events:idle:' .. name
    local member = struct.pack('>I4I4', math.floor(number / 2 ^ 32), number % 2 ^ 32) .. id
    if runs == '' then put('zadd', idle, 0, member) else put('zrem', idle, member) end
    put('hset', P .. 'events', id, struct.pack('<i8i8Hc0I4c0', received, number, #name, name, #runs, runs) .. string.sub(stored, place))
  end
end
carry_out()
return true
