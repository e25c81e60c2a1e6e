-- Takes a lease, renews it, or says why not.
-- KEYS: lease, fence.
-- ARGV: the holder; milliseconds; whether this server may have forgotten (0 or 1); its run; when it
-- started, by its own clock, in milliseconds; the channel.
-- A term goes through no Lua number, which is exact up to 2^53 only.
local lease, fence = KEYS[1], KEYS[2]
local holder, asked, forgetful = ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1'
local run, started, channel = ARGV[4], tonumber(ARGV[5]), ARGV[6]

local held = redis.call('GET', lease)
local known = redis.call('HMGET', fence, 'schema', 'term', 'longest_ms', 'run', 'since_ms')
local schema, term, longest = known[1], known[2], tonumber(known[3] or 0)
if schema and schema ~= '1' then
  return {'newer', schema}
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local since = tonumber(known[5] or 0)
if forgetful and (known[4] ~= run or since > now) then
  -- What this server has forgotten was granted before it started; or, where it is the replica of
  -- another, before it is first seen here.
  since = schema and now or math.min(started, now)
  redis.call('HSET', fence, 'schema', '1', 'run', run, 'since_ms', string.format('%.0f', since))
end

local function remember_length()
  if asked > longest then
    redis.call('HSET', fence, 'schema', '1', 'longest_ms', ARGV[2])
    longest = asked
  end
end

local function granted()
  remember_length()
  -- Whoever waits learns how long it has to. It may do without.
  redis.pcall('PUBLISH', channel, string.format('%.0f', redis.call('PTTL', lease)))
  return {'granted', redis.call('HGET', fence, 'term')}
end

if held == holder then
  if asked > redis.call('PTTL', lease) then
    redis.call('PEXPIRE', lease, ARGV[2])
  end
  return granted()
end
if held then
  return {'denied', held, redis.call('PTTL', lease)}
end
if forgetful and now < since + math.max(longest, asked) then
  remember_length()
  return {'held-off', since + longest - now}
end
local raised = redis.pcall('HINCRBY', fence, 'term', 1)
if type(raised) == 'table' then
  local is_exhausted = string.find(raised.err, 'overflow', 1, true)
  local is_damaged = string.find(raised.err, 'not an integer', 1, true)
  return is_exhausted and {'no-term-left'} or is_damaged and {'no-term'} or raised
end
-- Above all terms that the server may have forgotten, unless it granted one each millisecond.
if raised < now then
  redis.call('HSET', fence, 'term', string.format('%.0f', now))
end
redis.call('SET', lease, holder, 'PX', ARGV[2])
return granted()
