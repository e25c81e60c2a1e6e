-- Frees a lease, if it is the caller's own, and tells those who wait.
-- KEYS: lease, fence. ARGV: the holder; the channel.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
redis.call('DEL', KEYS[1])
-- By this a lease that was released is told from one whose key somebody deleted.
if redis.call('EXISTS', KEYS[2]) == 1 then
  redis.call('HSET', KEYS[2], 'until_ms', '0')
end
-- Who may not publish has released all the same: those who wait look when the lease would be over.
redis.pcall('PUBLISH', ARGV[2], '0')
return 1
