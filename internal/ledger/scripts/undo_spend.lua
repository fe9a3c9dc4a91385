-- Takes back what was counted in KEYS[1] by the nonces from ARGV[2] on, and marks them in KEYS[2], so that they do
-- nothing should they come later. ARGV[1] is for how long at least the marks are to last, in milliseconds. The reply
-- is the last nonce.
local ttl = tonumber(ARGV[1])
for i = 2, #ARGV do
  redis.call('ZREM', KEYS[1], ARGV[i])
  redis.call('HSET', KEYS[2], ARGV[i], '')
end
if redis.call('PTTL', KEYS[2]) < ttl then
  redis.call('PEXPIRE', KEYS[2], ttl)
end
return ARGV[#ARGV]
