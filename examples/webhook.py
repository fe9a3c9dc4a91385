#!/usr/bin/env python3
"""Receives the codes and events that otpd posts, without a library.

WEBHOOK_SECRET is one of the secrets that otpd signs with. It listens on 127.0.0.1, at PORT (9000).
"""

import base64
import hmac
import json
import os
import re
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

KEY = base64.b64decode(os.environ["WEBHOOK_SECRET"].removeprefix("whsec_"), validate=True)


def genuine(headers, body):
    """Tells whether otpd has sent this, not more than five minutes ago."""
    sent_at = headers.get("webhook-timestamp", "")
    if not re.fullmatch("[0-9]{1,12}", sent_at) or abs(time.time() - int(sent_at)) > 300:
        return False
    signed = f"{headers.get('webhook-id', '')}.{sent_at}.".encode() + body
    expected = b"v1," + base64.b64encode(hmac.digest(KEY, signed, "sha256"))
    signatures = headers.get("webhook-signature", "").split(" ")  # there are two while secrets rotate
    return any([hmac.compare_digest(expected, s.encode()) for s in signatures])


def handle(message):
    """Does what there is to do. An application sends the code to the user, and does not show it."""
    data = message["data"]
    if message["type"] == "otp.code":
        print("Code:", data["code"], "for", data["to"], flush=True)
    elif message["type"] == "otpd.events":
        for event in data["events"]:
            print("Event:", event["event"], event["id"], flush=True)


handled = set()  # an application keeps it in its database, for a day


class Receiver(BaseHTTPRequestHandler):
    timeout = 10

    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(max(0, min(length, 1 << 20)))
        if not genuine(self.headers, body):
            self.send_error(401)
            return
        # What comes again is the same, and was handled: otpd did not get the answer.
        if self.headers["webhook-id"] not in handled:
            handle(json.loads(body))
            handled.add(self.headers["webhook-id"])
        self.send_response(204)
        self.end_headers()


server = HTTPServer(("127.0.0.1", int(os.environ.get("PORT", 9000))), Receiver)
print("Listening at", server.server_port, flush=True)
server.serve_forever()
