-- Takes back the resend after which there were one more than told. ARGV: when the code before it was issued.
if known[2] and tonumber(known[2]) == told_resends + 1 then
  redis.call('HSET', KEYS[1], 's', told_resends, 't', ARGV[7])
  redis.call('HDEL', KEYS[1], 'n')
end
return {'admitted', attempts, 0, nonce}
