-- Which runs of a portion of a list are asked for. ARGV: 1 and 2 upper and lower bound as ZREVRANGEBYLEX takes them; how many
-- are 3 looked at and 4 found at most; 5 the list, named after the prefix; then what is asked for, '' where anything is: 6
-- letters of states; behind '=' 7 job, 8 reference, 9 unique key, 10 fingerprint; 11 and 12 enqueued from and before
-- (milliseconds). 'held:' and 'expired:' are in the order of times, and are sorted. Answers the ids, the newest first, and the
-- last id that was looked at, or false at the end of the list. Some 4 MB are looked at, and one run at least.
local BYTES = 4000000
local portion, most, list = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local ids = {}
if string.match(list, '^held:') or string.match(list, '^expired:') then
  local above, below = string.sub(ARGV[1], 2), string.sub(ARGV[2], 2)
  for _, id in ipairs(call('ZRANGE', P .. list, 0, -1)) do
    if (above == '' or is_less(id, above)) and (below == '' or is_less(below, id)) then ids[#ids + 1] = id end
  end
  table.sort(ids, function(a, b) return is_less(b, a) end)
else
  for _, member in ipairs(call('ZREVRANGEBYLEX', P .. list, ARGV[1], ARGV[2], 'LIMIT', 0, portion)) do
    ids[#ids + 1] = string.sub(member, -16)
  end
end

local function is(asked, found)
  return asked == '' or found and asked == '=' .. found
end

local bytes = 0
local function value(key, id)
  local found = call('HGET', P .. key, id)
  bytes = bytes + #(found or '')
  return found
end

local function is_asked(id)
  local state = value('states', id)
  local kind = state and string.sub(state, 1, 1) or 'p'
  if ARGV[6] ~= '' and not string.find(ARGV[6], kind, 1, true) then return false end
  -- A dead run that was replayed is in no state that can be asked for.
  local r = state and (kind == 'd' or ARGV[10] ~= '') and read(state)
  if ARGV[6] ~= '' and kind == 'd' and r.replayed ~= NONE then return false end
  if not is(ARGV[10], r and string.sub(r.error, 2) or '') then return false end
  local body = value('runs', id)
  if not body then return false end
  local enqueued = struct.unpack('<i8', body)
  if ARGV[11] ~= '' and enqueued < tonumber(ARGV[11]) or ARGV[12] ~= '' and enqueued >= tonumber(ARGV[12]) then
    return false
  end
  if ARGV[7] == '' and ARGV[8] == '' and ARGV[9] == '' then return true end
  local b = parse(body)
  return is(ARGV[7], b.job) and is(ARGV[8], b.reference) and is(ARGV[9], b.key)
end

local found, looked = {}, 0
while looked < math.min(#ids, portion) and #found < most and bytes < BYTES do
  looked = looked + 1
  if is_asked(ids[looked]) then found[#found + 1] = ids[looked] end
end
return { found, (looked < #ids or #ids == portion) and ids[looked] }
