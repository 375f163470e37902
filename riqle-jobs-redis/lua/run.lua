-- Runs as they stand. ARGV: ids. Answers of each that is there: id, body, state or false, and when it is due or its lease
-- runs out, as far as it has not ended; and now.
local now = time('')
local found = {}
local bodies, states = get(P .. 'runs', ARGV), get(P .. 'states', ARGV)
for n, id in ipairs(ARGV) do
  local body, state = bodies[n], states[n]
  if body then
    local time = false
    local kind = state and string.sub(state, 1, 1) or 'p'
    if kind == 'p' or kind == 'r' then
      local b = parse(body)
      if kind == 'p' then
        time = call('ZSCORE', P .. 'due:' .. b.priority .. ':' .. b.job, id)
      else
        time = call('ZSCORE', P .. 'held:' .. b.job, id) or call('ZSCORE', P .. 'expired:' .. b.job, id)
      end
    end
    local size = #found
    found[size + 1], found[size + 2], found[size + 3], found[size + 4] = id, body, state, time
  end
end
return { now, found }
