-- Takes a lease, renews it, or says why not.
-- KEYS: lease, fence, marker.
-- ARGV: the holder; milliseconds; what this server is taken for: one that forgets, one that is only
-- wiped, or one that is trusted blindly (forgetful, durable, trusted); its run; when it started, by
-- its own clock, in milliseconds; the channel.
-- A term goes through no Lua number, which is exact up to 2^53 only.
local lease, fence, marker = KEYS[1], KEYS[2], KEYS[3]
local holder, asked, memory = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local run, started, channel = ARGV[4], tonumber(ARGV[5]), ARGV[6]

local held = redis.call('GET', lease)
local known = redis.call('HMGET', fence, 'schema', 'term', 'longest_ms', 'run', 'since_ms',
  'marker_ms', 'why', 'until_ms')
local marked = redis.call('HMGET', marker, 'schema', 'since_ms', fence)
local schema, term, longest = known[1], known[2], tonumber(known[3] or 0)
if schema and schema ~= '1' then
  return {'newer', schema, fence}
end
if marked[1] and marked[1] ~= '1' then
  return {'newer', marked[1], marker}
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local since, why, since_marked = tonumber(known[5] or 0), known[7], marked[2]

local function digits(number)
  return string.format('%.0f', number)
end

if memory ~= 'trusted' then
  -- It goes with all else when the store is wiped, and is there when a service is merely new.
  if not tonumber(since_marked) then
    since_marked = digits(now)
    redis.call('HSET', marker, 'schema', '1', 'since_ms', since_marked)
  end
  local is_news = since > now
  if known[6] ~= since_marked then
    -- What an earlier marker said of the store is taken back by this one.
    local before = why == 'wiped' and 0 or since
    since, why, is_news = math.max(before, tonumber(since_marked)), 'wiped', true
  end
  if marked[3] and not schema then
    since, why = now, 'deleted'
  end
  if memory == 'forgetful' and known[4] ~= run then
    -- What this server has forgotten was granted before it started; or, where it is the replica of
    -- another, before it is first seen here.
    local from = schema and now or started
    if from > since then
      since, why = from, 'restarted'
    end
    redis.call('HSET', fence, 'schema', '1', 'run', run)
    is_news = true
  end
  if is_news then
    since = math.min(since, now)
    redis.call('HSET', fence, 'schema', '1', 'marker_ms', since_marked, 'since_ms', digits(since),
      'why', why or 'restarted')
    redis.call('HSET', marker, fence, '1')
  end
end

local function remember_length()
  if asked > longest then
    redis.call('HSET', fence, 'schema', '1', 'longest_ms', ARGV[2])
    longest = asked
  end
end

local function granted()
  remember_length()
  local left = redis.call('PTTL', lease)
  redis.call('HSET', fence, 'until_ms', digits(now + left))
  -- Whoever waits learns how long it has to. It may do without.
  redis.pcall('PUBLISH', channel, digits(left))
  return {'granted', redis.call('HGET', fence, 'term')}
end

if held == holder then
  local left = redis.call('PTTL', lease)
  if not term then
    -- Somebody deleted the fence. The next term is another's, once this lease is over.
    return {'held-off', left, 'deleted'}
  end
  if asked > left then
    redis.call('PEXPIRE', lease, ARGV[2])
  end
  return granted()
end
if held then
  local left = redis.call('PTTL', lease)
  if not known[8] and left > 0 then
    redis.call('HSET', fence, 'schema', '1', 'until_ms', digits(now + left))
  end
  return {'denied', held, left}
end
if memory ~= 'trusted' then
  if now < since + math.max(longest, asked) then
    remember_length()
    return {'held-off', since + longest - now, why}
  end
  -- A lease that ran out, or was released, is over by the fence as well.
  local ends = tonumber(known[8] or 0)
  if ends > now + longest then
    -- The clock was stepped back. No lease lasts longer than the longest.
    ends = now + longest
    redis.call('HSET', fence, 'until_ms', digits(ends))
  end
  if now < ends then
    return {'held-off', ends - now, 'deleted'}
  end
end
local raised = redis.pcall('HINCRBY', fence, 'term', 1)
if type(raised) == 'table' then
  local is_exhausted = string.find(raised.err, 'overflow', 1, true)
  local is_damaged = string.find(raised.err, 'not an integer', 1, true)
  return is_exhausted and {'no-term-left'} or is_damaged and {'no-term'} or raised
end
-- Above all terms that the server may have forgotten, unless it granted one each millisecond.
if raised < now then
  redis.call('HSET', fence, 'term', digits(now))
end
redis.call('SET', lease, holder, 'PX', ARGV[2])
-- Whatever was forgotten is over by now.
redis.call('HSET', fence, 'since_ms', '0')
return granted()
