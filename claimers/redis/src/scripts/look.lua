-- Who leads, under which term, and how long still; and if nobody does, how long nobody may.
-- KEYS: lease, fence. ARGV: whether this server may have forgotten (0 or 1); its run.
local held = redis.call('GET', KEYS[1])
local known = redis.call('HMGET', KEYS[2], 'schema', 'term', 'longest_ms', 'run', 'since_ms')
if known[1] and known[1] ~= '1' then
  return {'newer', known[1]}
end
if held then
  return {'held', held, known[2], redis.call('PTTL', KEYS[1])}
end
if ARGV[1] == '1' and known[4] == ARGV[2] then
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  local left = tonumber(known[5] or 0) + tonumber(known[3] or 0) - now
  if left > 0 then
    return {'held-off', left}
  end
end
return {'free'}
