-- Takes back what an operation did to the verification KEYS[1], by its nonce, ARGV[1], and sees to it
-- that the operation does nothing should it come later. ARGV[2] is how long, in ms.
local did = redis.call('HGET', KEYS[1], ARGV[1])
if did == 'u' then
  redis.call('HDEL', KEYS[1], 'u')
elseif did == 'a' then
  redis.call('HINCRBY', KEYS[1], 'a', -1)
elseif did == 's' then
  redis.call('HINCRBY', KEYS[1], 's', -1)
  redis.call('HDEL', KEYS[1], 't')
end
redis.call('HSET', KEYS[1], ARGV[1], 'x')
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 0
