-- Undoes operations on the verification KEYS[1], by their nonces, from ARGV[2] on, and sees to it that they do
-- nothing should they come later. What a wrong code did stays. In place of a nonce, "resend TOLD TIME" is the resend
-- of that time of a context that told of so many. ARGV[1] is for how long at least, in milliseconds. The reply is the
-- last nonce.
local ttl = tonumber(ARGV[1])
for i = 2, #ARGV do
  local known = redis.call('HMGET', KEYS[1], 'u', 'n', 'r', 's', 't')
  local told, time = string.match(ARGV[i], '^resend (%d+) (%d+)$')
  if told then
    if known[4] and tonumber(known[4]) == tonumber(told) + 1 and tonumber(known[5] or 0) == tonumber(time) then
      redis.call('HINCRBY', KEYS[1], 's', -1)
      redis.call('HDEL', KEYS[1], 't', 'n')
    end
  elseif known[1] == ARGV[i] then
    redis.call('HDEL', KEYS[1], 'u')
  elseif known[2] == ARGV[i] then
    redis.call('HINCRBY', KEYS[1], 's', -1)
    redis.call('HDEL', KEYS[1], 't', 'n')
    if known[3] == ARGV[i] then
      redis.call('HDEL', KEYS[1], 'r')
    end
  end
  if not told then
    redis.call('HSET', KEYS[1], ARGV[i], 'x')
  end
end
if redis.call('PTTL', KEYS[1]) < ttl then
  redis.call('PEXPIRE', KEYS[1], ttl)
end
return ARGV[#ARGV]
