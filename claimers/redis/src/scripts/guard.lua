-- Does what its caller asks for, if a term still stands.
-- KEYS: lease, fence, the caller's keys. ARGV: the term, the caller's arguments.
if redis.call('EXISTS', KEYS[1]) == 0 or redis.call('HGET', KEYS[2], 'term') ~= ARGV[1] then
  return {'refused'}
end
local function guarded(KEYS, ARGV)
--{}
end
local keys, arguments = {}, {}
for place = 3, #KEYS do keys[place - 2] = KEYS[place] end
for place = 2, #ARGV do arguments[place - 1] = ARGV[place] end
local is_done, result = pcall(guarded, keys, arguments)
if is_done then
  return {'done', result}
end
return {'failed', type(result) == 'table' and result.err or tostring(result)}
