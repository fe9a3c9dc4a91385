-- Behind recall.lua, where a verification can get a later end.

-- remember_longer is remember, for as long from now on, unless it is to be for longer anyway.
local function remember_longer(...)
  remember(...)
  if redis.call('PTTL', KEYS[1]) < tonumber(ttl) then
    redis.call('PEXPIRE', KEYS[1], ttl)
  end
end
