-- Takes back the claim with the nonce ARGV[1] of the verification KEYS[1]. The reply is the nonce.
if redis.call('HGET', KEYS[1], 'u') == ARGV[1] then
  redis.call('HDEL', KEYS[1], 'u')
end
return ARGV[1]
