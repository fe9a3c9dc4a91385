#!/usr/bin/env python3
"""An API for whoever has logged in. Needs PyJWT 2.4 or later, with cryptography.

OTPD_URL is where the keys are (http://127.0.0.1:8080). It listens on 127.0.0.1, at PORT (8000).
"""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt

keys = jwt.PyJWKClient(os.environ.get("OTPD_URL", "http://127.0.0.1:8080") + "/.well-known/jwks.json")


def user_of(token):
    """Returns who has logged in, or raises jwt.PyJWTError."""
    if jwt.get_unverified_header(token).get("typ") != "at+jwt":
        raise jwt.InvalidTokenError("not an access token")
    key = keys.get_signing_key_from_jwt(token).key
    claims = jwt.decode(token, key, algorithms=["EdDSA"], issuer="otpd", audience="otpd",
                        options={"require": ["exp", "sub"]})
    if claims.get("purpose") != "login":  # a code for something else must open no account
        raise jwt.InvalidTokenError("not of a login")
    return claims["sub"]


class API(BaseHTTPRequestHandler):
    def do_GET(self):
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        try:
            status, text = 200, "Hello, " + user_of(token if scheme.lower() == "bearer" else "")
        except jwt.PyJWTError:
            status, text = 401, "Log in first."
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.end_headers()
        self.wfile.write(text.encode() + b"\n")


server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", 8000))), API)
print("Listening at", server.server_port, flush=True)
server.serve_forever()
