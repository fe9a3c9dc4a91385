redis.call('HSET', KEYS[1], 'a', attempts, 's', resends, 'r', 1)
redis.call('PEXPIRE', KEYS[1], ttl)
return {'admitted', attempts, 0}
