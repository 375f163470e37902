-- How many runs of a portion of a list are asked for. ARGV: 1 and 2 upper and lower bound as ZREVRANGEBYLEX takes them, 3 how
-- many are looked at, 4 the list, named after the prefix; then what is asked for, '' where anything is: 5 letters of states;
-- behind '=' 6 job, 7 reference, 8 unique key, 9 fingerprint; 10 and 11 enqueued from and before (milliseconds).
-- 'held:' and 'expired:' are looked through whole. Answers how many, and the last id that was looked at, or false at the end.
local portion, list = tonumber(ARGV[3]), ARGV[4]
local ids, last = {}, false
if string.match(list, '^held:') or string.match(list, '^expired:') then
  for _, id in ipairs(call('ZRANGE', P .. list, 0, -1)) do
    if ARGV[1] == '+' or is_less(id, string.sub(ARGV[1], 2)) then ids[#ids + 1] = id end
  end
else
  for _, member in ipairs(call('ZREVRANGEBYLEX', P .. list, ARGV[1], ARGV[2], 'LIMIT', 0, portion)) do
    ids[#ids + 1] = string.sub(member, -16)
  end
  if #ids == portion then last = ids[portion] end
end

local function is(asked, found)
  return asked == '' or found and asked == '=' .. found
end

local function is_asked(body, state)
  local enqueued = struct.unpack('<i8', body)
  if ARGV[10] ~= '' and enqueued < tonumber(ARGV[10]) or ARGV[11] ~= '' and enqueued >= tonumber(ARGV[11]) then
    return false
  end
  local kind = state and string.sub(state, 1, 1) or 'p'
  if ARGV[5] ~= '' and not string.find(ARGV[5], kind, 1, true) then return false end
  -- A dead run that was replayed is in no state that can be asked for.
  local r = state and (kind == 'd' or ARGV[9] ~= '') and read(state)
  if ARGV[5] ~= '' and kind == 'd' and r.replayed ~= NONE then return false end
  if not is(ARGV[9], r and string.sub(r.error, 2) or '') then return false end
  if ARGV[6] == '' and ARGV[7] == '' and ARGV[8] == '' then return true end
  local b = parse(body)
  return is(ARGV[6], b.job) and is(ARGV[7], b.reference) and is(ARGV[8], b.key)
end

local bodies, states, count = get(P .. 'runs', ids), get(P .. 'states', ids), 0
for n, body in ipairs(bodies) do
  if body and is_asked(body, states[n]) then count = count + 1 end
end
return { count, last }
