return {verdict, attempts, 0, nonce}
