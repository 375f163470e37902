-- Sets the progress of runs and adds log lines. ARGV: 1 frozen time, 2 how many lines are kept, then a note each: id and
-- token as one, progress ('' leaves it), number of lines, and two a line: its number, level and text.
-- Answers how each token stands to its run.
local now, kept = time(ARGV[1]), tonumber(ARGV[2])
local notes, ids, place = {}, {}, 3
while place <= #ARGV do
  local note = { token = string.sub(ARGV[place], 17), progress = ARGV[place + 1], first = place + 3,
    lines = tonumber(ARGV[place + 2]) }
  notes[#notes + 1] = note
  ids[#ids + 1] = string.sub(ARGV[place], 1, 16)
  place = note.first + 2 * note.lines
end
local answers, newest, trimmed = {}, {}, {}
for n, state in ipairs(get(P .. 'states', ids)) do
  local id, note, r = ids[n], notes[n], state and read(state)
  answers[n] = fence(r, note.token)
  if answers[n] == 'holds' then
    put_back(id, r)
    local key = P .. 'notes:' .. id
    if note.progress ~= '' then put('hset', key, 'progress', note.progress) end
    if note.lines > 0 then
      newest[id] = newest[id] or call('HGET', key, 'newest') or (NONE .. '\0\0\0\0')
      for line = 0, note.lines - 1 do
        local number = tonumber(ARGV[note.first + 2 * line])
        local token, last = struct.unpack('<c16I4', newest[id])
        if token ~= note.token or number > last then
          newest[id] = struct.pack('<c16I4', note.token, number)
          put('hset', key, 'newest', newest[id])
          put('rpush', P .. 'lines:' .. id, struct.pack('<i8I4', now, r.failures + 1) .. ARGV[note.first + 2 * line + 1])
          trimmed[id] = true
        end
      end
    end
  end
end
carry_out()
for id in pairs(trimmed) do call('LTRIM', P .. 'lines:' .. id, -kept, -1) end
return answers
