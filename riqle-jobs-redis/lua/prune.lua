-- Deletes a portion of what ended before a time, and unique keys whose period is over. ARGV: 1 frozen time, 2 and 3 for how
-- many milliseconds ended runs and dead letters are kept ('' forever), 4 the size of a portion. Answers how many runs and how many keys.
local LISTS = { s = 'succeeded:', c = 'cancelled:', d = 'dead:' }
local now, portion = time(ARGV[1]), tonumber(ARGV[4])
local over = call('ZRANGEBYSCORE', P .. 'expiring', '-inf', now, 'LIMIT', 0, portion)
for n, value in ipairs(get(P .. 'unique', over)) do
  -- It may have been taken again, until its run lets go of it.
  local expires = value and struct.unpack('<i8', value, 33) or 0
  if expires ~= 0 and expires <= now then put('hdel', P .. 'unique', over[n]) end
  put('zrem', P .. 'expiring', over[n])
end
local count = 0
for n, list in ipairs({ 'ended', 'letters' }) do
  local ids = {}
  if ARGV[n + 1] ~= '' then
    local before = string.format('(%.0f', now - tonumber(ARGV[n + 1]))
    ids = call('ZRANGEBYSCORE', P .. list, '-inf', before, 'LIMIT', 0, portion)
  end
  local bodies, states = get(P .. 'runs', ids), get(P .. 'states', ids)
  for m, id in ipairs(ids) do
    count = count + 1
    put('zrem', P .. list, id)
    if bodies[m] then
      local b = parse(bodies[m])
      if b.key then put('zrem', P .. 'keys', b.key .. '\0' .. id) end
      if b.reference then put('zrem', P .. 'references', b.reference .. '\0' .. id) end
      put('hdel', P .. 'runs', id)
      if states[m] then
        local r = read(states[m])
        local was_replayed = r.kind == 'd' and r.replayed ~= NONE
        put('zrem', P .. (was_replayed and 'replayed:' or LISTS[r.kind]) .. b.job, id)
        if r.kind == 'd' and not was_replayed then
          leave_group(id, r)
        elseif #r.error > 1 then
          put('zrem', P .. 'errors:' .. b.job, string.sub(r.error, 2) .. '\0' .. id)
        end
        put('hdel', P .. 'states', id)
      end
    end
    for _, kind in ipairs({ 'steps:', 'notes:', 'lines:' }) do put('del', P .. kind .. id, true) end
  end
end
carry_out()
-- Jobs of which nothing is left.
for _, job in ipairs(call('SMEMBERS', P .. 'jobs')) do
  local left = 0
  for _, list in ipairs({ 'open:', 'succeeded:', 'cancelled:', 'dead:', 'replayed:' }) do
    left = left + call('EXISTS', P .. list .. job)
  end
  if left == 0 then call('SREM', P .. 'jobs', job) end
end
return { count, #over }
