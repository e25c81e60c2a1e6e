-- Whether this user may do what a candidate does. It leaves nothing.
-- KEYS: lease and fence of no service, marker. ARGV: the channel.
redis.call('GET', KEYS[1])
redis.call('SET', KEYS[1], '', 'PX', '1')
redis.call('PEXPIRE', KEYS[1], '1')
redis.call('PTTL', KEYS[1])
redis.call('DEL', KEYS[1])
redis.call('HINCRBY', KEYS[2], 'term', 1)
redis.call('HSET', KEYS[2], 'schema', '1')
redis.call('HMGET', KEYS[2], 'schema')
redis.call('HGET', KEYS[2], 'term')
redis.call('EXISTS', KEYS[2])
redis.call('HMGET', KEYS[3], 'schema')
redis.call('DEL', KEYS[2])
redis.call('TIME')
redis.call('PUBLISH', ARGV[1], '0')
return 'fine'
