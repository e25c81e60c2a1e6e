-- Frees a lease, if it is the caller's own, and tells those who wait.
-- KEYS: lease. ARGV: the holder; the channel.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
redis.call('DEL', KEYS[1])
-- Who may not publish has released all the same: those who wait look when the lease would be over.
redis.pcall('PUBLISH', ARGV[2], '0')
return 1
