-- KEYS[1] and ARGV are as in reserve.lua, and the last of ARGV is the value to be replaced; by an empty one it is
-- forgotten. The reply is {the value that is kept, nonce}.
local now, nonce, value, own = tonumber(ARGV[1]), ARGV[4], ARGV[5], ARGV[6]
local known = redis.call('HMGET', KEYS[1], 'v', 'e')
if known[1] ~= own or tonumber(known[2]) <= now then
  return {known[1] or '', nonce}
end
if value == '' then
  redis.call('DEL', KEYS[1])
else
  redis.call('HSET', KEYS[1], 'v', value, 'e', ARGV[2])
  redis.call('HDEL', KEYS[1], 'n')
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return {value, nonce}
