-- Makes due the schedules that wait for the end of a run, though none lives. Answers how many.
local count = 0
for _, schedule in ipairs(call('SMEMBERS', P .. 'schedules:waking')) do
  local row = call('EXISTS', P .. 'live:' .. schedule) == 0 and call('HGET', P .. 'schedules', schedule)
  if row then
    local version, wakes, due, place = struct.unpack(SCHEDULE, row)
    if due ~= 0 then
      put_schedule(schedule, version + 1, wakes, 0, string.sub(row, place))
      count = count + 1
    end
  end
end
carry_out()
return count
