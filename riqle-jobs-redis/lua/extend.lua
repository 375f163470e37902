-- Sets leases to run out one lease from now. ARGV: 1 frozen time, 2 lease in milliseconds, 3… id and token of each, as one.
-- Returns the standing of each token towards its run.
local till = time(ARGV[1]) + tonumber(ARGV[2])
local ids, answers = {}, {}
for n = 3, #ARGV do ids[n - 2] = string.sub(ARGV[n], 1, 16) end
for n, state in ipairs(get(P .. 'states', ids)) do
  local r = state and read(state)
  answers[n] = fence(r, string.sub(ARGV[n + 2], 17))
  if answers[n] == 'holds' then
    -- Also where it stands among the held already: Redis then does not ask for memory.
    take_out(ids[n], r)
    put('zadd', P .. 'held:' .. r.job, till, ids[n])
  end
end
carry_out()
return answers
