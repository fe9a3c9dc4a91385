-- KEYS[2], if wrong codes count for the subject, is the hash of them: n is their number, l the end of the
-- lock. ARGV: 1 for a right code; how many are free, the factor and the longest lock; from which number on a
-- lock is severe, and how long; when they are forgotten.
local right = ARGV[7] == '1'
local free, factor, longest = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local severe_after, severe_lock, forget_after = tonumber(ARGV[11]), tonumber(ARGV[12]), ARGV[13]

local failures = 0
if KEYS[2] and (verdict == 'admitted' or verdict == 'exhausted') then
  local subject = redis.call('HMGET', KEYS[2], 'n', 'l')
  failures = tonumber(subject[1] or 0)
  local locked = tonumber(subject[2] or 0)
  if locked > now then
    return {'throttled', attempts, locked - now, nonce}
  end
end
if verdict ~= 'admitted' then
  return {verdict, attempts, 0, nonce}
end

if right then
  remember('u', nonce)
  if failures > 0 then
    redis.call('DEL', KEYS[2])
  end
else
  attempts = attempts + 1
  remember()
  if KEYS[2] then
    failures = failures + 1
    local locked = 0 -- and not now: a request that read its clock a moment earlier must not find a lock
    if failures > free then
      locked = now + (failures >= severe_after and severe_lock or math.min(factor * 2 ^ (failures - free), longest))
    end
    redis.call('HSET', KEYS[2], 'n', failures, 'l', locked)
    redis.call('PEXPIRE', KEYS[2], forget_after)
  end
end
return {verdict, attempts, 0, nonce}
