-- Undoes operations on the device KEYS[1], by their nonces, from ARGV[2] on, as far as none has come since, and
-- marks them in KEYS[2], so that they do nothing should they come later. What a wrong code did stays. ARGV[1] is
-- for how long at least the marks are to last, in milliseconds. The reply is the last nonce.
local ttl = tonumber(ARGV[1])
for i = 2, #ARGV do
  local known = redis.call('HMGET', KEYS[1], 'n', 'pg', 'px', 'pb')
  if known[1] == ARGV[i] then
    redis.call('HSET', KEYS[1], 'g', known[2], 'x', known[3], 'b', known[4])
    redis.call('HDEL', KEYS[1], 'n', 'pg', 'px', 'pb')
  end
  redis.call('HSET', KEYS[2], ARGV[i], '')
end
if redis.call('PTTL', KEYS[2]) < ttl then
  redis.call('PEXPIRE', KEYS[2], ttl)
end
return ARGV[#ARGV]
