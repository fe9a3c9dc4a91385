-- KEYS[1] is the hash of a receipt:
--   v  its value           n  the nonce of the operation that reserved it, until it is settled
--   e  its end, in ms
-- KEYS[2] is a hash with a field by the nonce of each operation that was undone. ARGV: the time; the end; how long to
-- remember it, in milliseconds; the nonce; the value. The reply is {the value that is kept, nonce}.
local now, nonce, value = tonumber(ARGV[1]), ARGV[4], ARGV[5]
if redis.call('HEXISTS', KEYS[2], nonce) == 1 then
  return {'', nonce} -- before it came: its client has given up, and nobody reads this
end
local known = redis.call('HMGET', KEYS[1], 'v', 'e')
if known[1] and tonumber(known[2]) > now then
  return {known[1], nonce}
end
redis.call('HSET', KEYS[1], 'v', value, 'e', ARGV[2], 'n', nonce)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {value, nonce}
