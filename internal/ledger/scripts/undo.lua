-- Undoes operations on the verification KEYS[1], by their nonces, from ARGV[2] on, and sees to it that they do
-- nothing should they come later. What a wrong code did stays. ARGV[1] is how long, in milliseconds. The reply
-- is the last nonce.
for i = 2, #ARGV do
  local known = redis.call('HMGET', KEYS[1], 'u', 'n')
  if known[1] == ARGV[i] then
    redis.call('HDEL', KEYS[1], 'u')
  elseif known[2] == ARGV[i] then
    redis.call('HINCRBY', KEYS[1], 's', -1)
    redis.call('HDEL', KEYS[1], 't', 'n')
  end
  redis.call('HSET', KEYS[1], ARGV[i], 'x')
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return ARGV[#ARGV]
