-- The newest ids below a bound, of lists of ids. ARGV: 1 the bound as ZREVRANGEBYLEX takes it, 2 its lower end, 3 how many,
-- 4… the lists, named after the prefix; the text before an id is cut off. A list that begins with 'held:' or 'expired:' is
-- looked through. Answers ids, newest first, that many of each list.
local ids = {}
for n = 4, #ARGV do
  local key = P .. ARGV[n]
  if string.match(ARGV[n], '^held:') or string.match(ARGV[n], '^expired:') then
    for _, id in ipairs(call('ZRANGE', key, 0, -1)) do ids[#ids + 1] = id end
  else
    for _, member in ipairs(call('ZREVRANGEBYLEX', key, ARGV[1], ARGV[2], 'LIMIT', 0, ARGV[3])) do
      ids[#ids + 1] = string.sub(member, -16)
    end
  end
end
return ids
