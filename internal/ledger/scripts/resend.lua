-- ARGV: when the code in the context was issued; the cooldown.
local told_issued_at, cooldown = tonumber(ARGV[7]), tonumber(ARGV[8])

if verdict ~= 'admitted' then
  return {verdict, attempts, 0, nonce}
end
local ready_at = math.max(issued_at, told_issued_at) + cooldown
if ready_at > now then
  return {'cooling', attempts, ready_at - now, nonce}
end
resends = resends + 1
remember('t', now, 'n', nonce)
return {verdict, attempts, 0, nonce}
