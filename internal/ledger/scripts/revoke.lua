remember_longer('r', 1)
return {'admitted', attempts, 0, nonce}
