-- A token of a family: s is the generation of its newest, n the nonce of the refresh that made room for that. If a
-- token is spent that only this refresh has spent, r is its nonce in place of 1: should it be undone, its answer was
-- lost, and whoever sent the token again was right to.
local newest, revoked = tonumber(known[2] or 0), known[5]

if verdict == 'undone' or verdict == 'used' then
  return {verdict, attempts, 0, nonce}
end
if newest > told_resends then
  if revoked ~= '1' then
    local spent_by = told_resends == newest - 1 and redis.call('HGET', KEYS[1], 'n')
    remember_longer('r', spent_by or 1)
  end
  return {revoked and 'revoked' or 'superseded', attempts, 0, nonce}
end
if revoked then
  return {'revoked', attempts, 0, nonce}
end
resends = resends + 1
remember_longer('n', nonce)
return {'admitted', attempts, 0, nonce}
