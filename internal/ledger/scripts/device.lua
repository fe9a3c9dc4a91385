-- KEYS[1] is the hash of one device:
--   g  the generation of its backup codes      f  wrong codes since the last right one
--   x  the least step or counter it accepts    l  the end of the lock they brought, in ms
--   b  the bits of the used backup codes       r  1 once it was disabled
--   n  the nonce of the last operation to be undone if its answer is lost; pg, px and pb are g, x and b before it
-- KEYS[2] is a hash with a field by the nonce of each operation that was undone. ARGV: the time; how long to
-- remember the device; of its version g, x, b, f and l; the nonce; the operation, and from the 10th on its own.
-- Times and durations are in milliseconds. The reply is {verdict, g, x, b, f, l, nonce}.
local now, ttl = tonumber(ARGV[1]), tonumber(ARGV[2])
local told_generation, told_next, told_used = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local nonce, operation = ARGV[8], ARGV[9]

-- merge returns g, x and b, or what the version tells where that is more.
local function merge(g, x, b)
  g, x, b = tonumber(g or 0), tonumber(x or 0), tonumber(b or 0)
  if told_generation > g then
    g, b = told_generation, told_used
  elseif told_generation == g then
    b = bit.bor(b, told_used)
  end
  return g, math.max(x, told_next), b
end

local known = redis.call('HMGET', KEYS[1], 'g', 'x', 'b', 'f', 'l', 'r')
local generation, next_number, used = merge(known[1], known[2], known[3])
local failures = math.max(tonumber(known[4] or 0), tonumber(ARGV[6]))
local locked = math.max(tonumber(known[5] or 0), tonumber(ARGV[7]))
local before = {generation, next_number, used}

local function reply(verdict)
  return {verdict, generation, next_number, used, failures, locked, nonce}
end

-- remember writes the device as it is by then, and other fields, for at least as long as it was to be.
local function remember(...)
  redis.call('HSET', KEYS[1], 'g', generation, 'x', next_number, 'b', used, 'f', failures, 'l', locked, ...)
  if redis.call('PTTL', KEYS[1]) < ttl then
    redis.call('PEXPIRE', KEYS[1], ttl)
  end
end

local function remember_to_undo()
  remember('n', nonce, 'pg', before[1], 'px', before[2], 'pb', before[3])
end

-- remember_for_good is for what is never undone. Nor is what its version tells, with anything that came before.
local function remember_for_good(...)
  remember(...)
  local last = redis.call('HMGET', KEYS[1], 'n', 'pg', 'px', 'pb')
  if last[1] then
    local g, x, b = merge(last[2], last[3], last[4])
    redis.call('HSET', KEYS[1], 'pg', g, 'px', x, 'pb', b)
  end
end

if redis.call('HEXISTS', KEYS[2], nonce) == 1 then
  return reply('undone') -- before it came: its client has given up, and nobody reads this
end
if operation == 'disable' then
  remember_for_good('r', 1)
  return reply('admitted')
end
if known[6] then
  return reply('revoked')
end
if operation == 'forgive' then
  failures, locked = 0, 0
  remember_for_good()
  return reply('admitted')
end
if operation == 'renew' then
  generation, used = generation + 1, 0
  remember_to_undo()
  return reply('admitted')
end

-- An attempt or, without further arguments, the question how the device stands. The arguments: 1 if the code is
-- to confirm the device, if it is right, and if it is a backup code; its number; how many wrong codes are free,
-- the factor and the longest lock; from which number on a lock is severe, and how long; when wrong codes are
-- forgotten.
local confirms, right, backup = ARGV[10] == '1', ARGV[11] == '1', ARGV[12] == '1'
if confirms and generation > 0 then
  return reply('confirmed')
elseif generation > told_generation and (told_generation == 0 or backup) then
  return reply('superseded')
elseif operation == 'state' then
  return reply('admitted')
elseif locked > now then
  return reply('throttled')
end

local number = tonumber(ARGV[13])
if right and backup then
  local mask = bit.lshift(1, number)
  if bit.band(used, mask) ~= 0 then
    return reply('used')
  end
  used = bit.bor(used, mask)
elseif right and number == next_number - 1 then
  return reply('used')
elseif right and number >= next_number then
  next_number = number + 1
else
  local free, factor, longest = tonumber(ARGV[14]), tonumber(ARGV[15]), tonumber(ARGV[16])
  local severe_after, severe_lock, forget_after = tonumber(ARGV[17]), tonumber(ARGV[18]), tonumber(ARGV[19])
  failures = failures + 1
  if factor > 0 and failures > free then
    locked = now + (failures >= severe_after and severe_lock or math.min(factor * 2 ^ (failures - free), longest))
  end
  ttl = forget_after
  remember_for_good()
  return reply('wrong')
end
failures, locked = 0, 0
if confirms then
  generation = 1
end
remember_to_undo()
return reply('admitted')
