-- Frees, uncharged, the runs that a token holds. ARGV: 1 token. Answers how many.
local freed = 0
for _, job in ipairs(call('SMEMBERS', P .. 'jobs')) do
  for _, place in ipairs({ 'held:', 'expired:' }) do
    local ids = call('ZRANGE', P .. place .. job, 0, -1)
    for n, state in ipairs(get(P .. 'states', ids)) do
      local r = state and read(state)
      if r and r.token == ARGV[1] then
        take_out(ids[n], r)
        r.kind, r.token = 'p', NONE
        put('zadd', P .. 'due:' .. r.priority .. ':' .. job, r.due, ids[n])
        put('hset', P .. 'states', ids[n], written(r))
        freed = freed + 1
      end
    end
  end
end
carry_out()
return freed
