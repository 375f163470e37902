-- Records how claims ended. ARGV: 1 frozen time, then four a settlement: id, token, kind of the new state, failures (4
-- bytes), delay (8 bytes, -1: due when it was before) and the reason's word, as one; the attempt's record but for times and
-- worker; the error's fingerprint ('' leaves it, else one byte before it or alone); codec and bytes of the output.
-- Answers how each token stood to its run, whether a run is due again, and whether a schedule is due by the end of one.
local LISTS = { s = 'succeeded:', c = 'cancelled:', d = 'dead:' }
local now = time(ARGV[1])
local ids, answers, changed, due_again, wakes = {}, {}, {}, 0, 0
for n = 2, #ARGV, 4 do ids[#ids + 1] = string.sub(ARGV[n], 1, 16) end
local schedules = get(P .. 'scheduled', ids)
for n, state in ipairs(get(P .. 'states', ids)) do
  local id, place = ids[n], 4 * n - 2
  local token, kind, failures, delay, reason = struct.unpack('<c16c1I4i8Bc0', ARGV[place], 17)
  local r = changed[id] or state and read(state)
  answers[n] = fence(r, token)
  if answers[n] == 'holds' then
    changed[id] = r
    take_out(id, r)
    r.kind, r.settled, r.token, r.failures, r.reason = kind, token, NONE, failures, reason
    -- Errors of dead letters stand apart.
    local print = ARGV[place + 2] ~= '' and ARGV[place + 2] or r.error
    if print ~= r.error or kind == 'd' then
      if #r.error > 1 then put('zrem', P .. 'errors:' .. r.job, string.sub(r.error, 2) .. '\0' .. id) end
      r.error = print
      if #print > 1 and kind ~= 'd' then put('zadd', P .. 'errors:' .. r.job, 0, string.sub(print, 2) .. '\0' .. id) end
    end
    note_attempt(r, ARGV[place + 1], now)
    if kind == 'p' then
      if delay >= 0 then r.due = now + delay end
      if r.due <= now then due_again = 1 end
      put('zadd', P .. 'due:' .. r.priority .. ':' .. r.job, r.due, id)
    else
      r.ended, r.output = now, ARGV[place + 3]
      put('zrem', P .. 'open:' .. r.job, id)
      put('zadd', P .. LISTS[kind] .. r.job, 0, id)
      put('zadd', P .. (kind == 'd' and 'letters' or 'ended'), now, id)
      if kind == 'd' then join_group(id, r) end
      if r.unique ~= '' then release(r.unique, id) end
      if schedules[n] and leave_schedule(id, schedules[n]) then wakes = 1 end
    end
    put('hset', P .. 'states', id, written(r))
  end
end
carry_out()
return { due_again, answers, wakes }
