-- Saves results of steps. ARGV: 1 frozen time, then three a step: id, token, 'r' where it replaces or 'k' where the first
-- is kept, and the nanoseconds it took (8 bytes); name; codec and result.
-- A step is kept with its place among those of its run. Answers how each token stands to its run.
local now = time(ARGV[1])
local ids, answers, counts, seen = {}, {}, {}, {}
for n = 2, #ARGV, 3 do ids[#ids + 1] = string.sub(ARGV[n], 1, 16) end
for n, state in ipairs(get(P .. 'states', ids)) do
  local id, head, name, result = ids[n], ARGV[3 * n - 1], ARGV[3 * n], ARGV[3 * n + 1]
  local r = state and read(state)
  answers[n] = fence(r, string.sub(head, 17, 32))
  if answers[n] == 'holds' then
    put_back(id, r)
    local steps = P .. 'steps:' .. id
    local place = seen[id .. name]
    if not place then
      local saved = call('HGET', steps, name)
      place = saved and struct.unpack('<I4', saved)
    end
    if not place then
      counts[id] = counts[id] or call('HLEN', steps)
      place = counts[id]
      counts[id] = place + 1
      put('hset', steps, name, struct.pack('<I4i8', place, now) .. string.sub(head, 34) .. result)
    elseif string.sub(head, 33, 33) == 'r' then
      put('hset', steps, name, struct.pack('<I4i8', place, now) .. string.sub(head, 34) .. result)
    end
    seen[id .. name] = place
  end
end
carry_out()
return answers
