-- How many members lists have between bounds. ARGV: 1 an id of which the bounds speak, or ''; 2 a job, '' for all; 3 and 4
-- upper and lower bound as ZREVRANGEBYLEX takes them; 5… lists, named before the job, behind '+' or '-': counted or taken off.
-- A list that is in the order of times ('held:', 'expired:') is looked through where there is an id.
local jobs, sum = { ARGV[2] }, 0
if ARGV[2] == '' then jobs = call('SMEMBERS', P .. 'jobs') end

local function size(key, list)
  if list ~= 'held:' and list ~= 'expired:' then return call('ZLEXCOUNT', key, ARGV[4], ARGV[3]) end
  if ARGV[1] == '' then return call('ZCARD', key) end
  local count = 0
  for _, id in ipairs(call('ZRANGE', key, 0, -1)) do
    if is_less(id, ARGV[1]) then count = count + 1 end
  end
  return count
end

for _, job in ipairs(jobs) do
  for n = 5, #ARGV do
    local list = string.sub(ARGV[n], 2)
    local count = size(P .. list .. job, list)
    sum = sum + (string.sub(ARGV[n], 1, 1) == '+' and count or -count)
  end
end
return sum
