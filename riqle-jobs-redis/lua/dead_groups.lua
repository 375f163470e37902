-- Groups of dead letters. ARGV: 1 how many: those in which a run died last, of several at the same time by name; 2… names of
-- others. Answers of each that is there: its name, how many runs, when the first and the last of them died, the last one's id.
local names, answers = {}, {}
if tonumber(ARGV[1]) > 0 then names = call('ZRANGE', P .. 'groups', 0, ARGV[1] - 1) end
for n = 2, #ARGV do names[#names + 1] = ARGV[n] end
for _, name in ipairs(names) do
  local key = P .. 'group:' .. name
  local last = call('ZRANGE', key, -1, -1, 'WITHSCORES')
  if last[1] then
    local size = #answers
    answers[size + 1], answers[size + 2] = name, call('ZCARD', key)
    answers[size + 3] = call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
    answers[size + 4], answers[size + 5] = last[2], last[1]
  end
end
return answers
