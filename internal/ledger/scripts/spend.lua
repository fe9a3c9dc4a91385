-- KEYS[1] is a sorted set of when a key was spent, in ms, by the nonce of the operation. KEYS[2] is a hash with a
-- field by the nonce of each operation that was undone. ARGV: the time; how long to remember it all; the nonce; and
-- of each window how many it allows, and how long it is. Times and durations are in milliseconds. The reply is
-- {verdict, 0, how long to wait, nonce}.
local now, ttl, nonce = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local trimmed = 100 -- at most, of those too old to matter: more than come, and few enough to hold nobody up

if redis.call('HEXISTS', KEYS[2], nonce) == 1 then
  return {'undone', 0, 0, nonce} -- before it came: its client has given up, and nobody reads this
end

local wait, longest = 0, 0
for i = 4, #ARGV, 2 do
  local most, per = tonumber(ARGV[i]), tonumber(ARGV[i + 1])
  longest = math.max(longest, per)
  if most == 0 then
    wait = math.max(wait, per)
  else
    -- The window is full until the last but most is out of it.
    local last = redis.call('ZRANGE', KEYS[1], most - 1, most - 1, 'REV', 'WITHSCORES')
    if last[2] then
      wait = math.max(wait, tonumber(last[2]) + per - now)
    end
  end
end
if wait > 0 then
  return {'cooling', 0, wait, nonce}
end

local old = redis.call('ZCOUNT', KEYS[1], '-inf', now - longest)
if old > 0 then
  redis.call('ZREMRANGEBYRANK', KEYS[1], 0, math.min(old, trimmed) - 1)
end
redis.call('ZADD', KEYS[1], now, nonce)
redis.call('PEXPIRE', KEYS[1], ttl)
return {'admitted', 0, 0, nonce}
