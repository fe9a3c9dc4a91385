#!/usr/bin/env python3
"""Verifies access tokens, as an API does that takes them. Needs PyJWT 2.4 or later, with cryptography.

    jwt_verify.py JWKS_URL ISSUER AUDIENCE

It reads tokens, one a line, and prints for each what it says, as JSON, or that it is refused. The keys are
fetched once, and again after five minutes or for a key that is not known.
"""

import json
import sys

import jwt

jwks_url, issuer, audience = sys.argv[1:]
keys = jwt.PyJWKClient(jwks_url)


def verify(token):
    """Returns the claims of a token, or raises jwt.PyJWTError."""
    # Another kind of JWT is no access token, whoever has signed it (RFC 9068 section 4).
    if jwt.get_unverified_header(token).get("typ") != "at+jwt":
        raise jwt.InvalidTokenError("not an access token")
    return jwt.decode(
        token,
        keys.get_signing_key_from_jwt(token).key,
        algorithms=["EdDSA", "ES256", "RS256"],
        issuer=issuer,
        audience=audience,
        options={"require": ["exp", "iat", "sub"]},
    )


for line in sys.stdin:
    try:
        print(json.dumps(verify(line.strip())), flush=True)
    except jwt.PyJWTError as error:
        print("refused:", type(error).__name__, flush=True)
