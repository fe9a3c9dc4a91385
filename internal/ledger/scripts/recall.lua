-- In front of each other script but undo.lua. KEYS[1] is the hash of one verification:
--   a  wrong codes so far            u  the nonce of the operation whose code was right
--   s  how many codes were resent    r  1 once it was revoked
--   t  when the newest was, in ms    n  the nonce of that resend
-- and a field by the nonce of each operation that was undone. ARGV: the time; how long to remember the
-- verification; of its context the wrong codes, those allowed and the resends; the nonce; from the 7th on the
-- operation's own. Times and durations are in milliseconds. A reply ends with the nonce, so that it is not
-- taken for another's.
local now = tonumber(ARGV[1])
local ttl = ARGV[2]
local max_attempts = tonumber(ARGV[4])
local told_resends = tonumber(ARGV[5])
local nonce = ARGV[6]

local known = redis.call('HMGET', KEYS[1], 'a', 's', 't', 'u', 'r', nonce)
local attempts = math.max(tonumber(known[1] or 0), tonumber(ARGV[3]))
local resends = tonumber(known[2] or 0)
local issued_at = tonumber(known[3] or 0)

local verdict = 'admitted'
if known[6] then
  verdict = 'undone' -- before it came: its client has given up, and nobody reads this
elseif known[4] then
  verdict = 'used'
elseif known[5] then
  verdict = 'revoked'
elseif resends > told_resends then
  verdict = 'superseded'
elseif attempts >= max_attempts then
  verdict = 'exhausted'
end
resends = math.max(resends, told_resends)

-- remember writes attempts and resends, as they are by then, and other fields of the verification. Its key
-- expires when it ends.
local function remember(...)
  redis.call('HSET', KEYS[1], 'a', attempts, 's', resends, ...)
  if not known[1] then
    redis.call('PEXPIRE', KEYS[1], ttl)
  end
end
