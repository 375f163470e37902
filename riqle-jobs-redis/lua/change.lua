-- Carries out what was decided on what was read, unless that has changed since. ARGV: 1 number of conditions, then four a
-- condition: key after the prefix, field, '1' where it holds the value that follows or '0' where it holds none, the value;
-- then four a command: kind ('zadd', …), key after the prefix, and what it takes. Answers 1, or 0: look again.
local place = 2
for _ = 1, tonumber(ARGV[1]) do
  local value = call('HGET', P .. ARGV[place], ARGV[place + 1])
  local expected = ARGV[place + 2] == '1' and ARGV[place + 3]
  if value ~= expected then return 0 end
  place = place + 4
end
while place <= #ARGV do
  local kind, two = ARGV[place], ARGV[place + 3]
  if kind ~= 'zadd' and kind ~= 'hset' then two = nil end
  put(kind, P .. ARGV[place + 1], ARGV[place + 2], two)
  place = place + 4
end
carry_out()
return 1
