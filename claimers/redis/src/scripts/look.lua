-- Who leads, under which term, and how long still; and if nobody does, how long nobody may, and why.
-- KEYS: lease, fence. ARGV: what this server is taken for: trusted, or not.
local held = redis.call('GET', KEYS[1])
local known = redis.call('HMGET', KEYS[2], 'schema', 'term', 'longest_ms', 'since_ms', 'why',
  'until_ms')
if known[1] and known[1] ~= '1' then
  return {'newer', known[1], KEYS[2]}
end
if held then
  local left = redis.call('PTTL', KEYS[1])
  if not known[2] and left > 0 then
    return {'held-off', left, 'deleted'}
  end
  return {'held', held, known[2], left}
end
if ARGV[1] ~= 'trusted' then
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  local forgotten = tonumber(known[4] or 0) + tonumber(known[3] or 0) - now
  local deleted = tonumber(known[6] or 0) - now
  if forgotten > 0 then
    return {'held-off', forgotten, known[5]}
  elseif deleted > 0 then
    return {'held-off', deleted, 'deleted'}
  end
end
return {'free'}
