#!/usr/bin/env python3
"""Issues a code and asks for it until it is right.

The service is at OTPD_URL (http://127.0.0.1:8080), and OTPD_API_KEY is the secret of an API key, if it
has any.
"""

import http.client
import json
import os
import sys
import time
import urllib.error
import urllib.request

URL = os.environ.get("OTPD_URL", "http://127.0.0.1:8080") + "/v1/otp/"
HEADERS = {"Content-Type": "application/json"}
if "OTPD_API_KEY" in os.environ:
    HEADERS["Authorization"] = "Bearer " + os.environ["OTPD_API_KEY"]


def post(operation, **fields):
    """Returns the answer.

    One that says when to try again (429 and 503) is asked for again with the same fields, and so is one
    that did not come. It gives up after the fifth try, and rather than make the user wait for more than
    a minute.
    """
    request = urllib.request.Request(URL + operation, json.dumps(fields).encode(), HEADERS)
    for _ in range(5):
        try:
            try:
                response = urllib.request.urlopen(request, timeout=5)
            except urllib.error.HTTPError as error:
                response = error  # which is an answer too
            with response:
                answer = json.load(response)
            if "Retry-After" not in response.headers:
                return answer
            wait, reason = int(response.headers["Retry-After"]), answer["error"]
        except (OSError, http.client.HTTPException, ValueError) as error:
            wait, reason = 1, error
        if wait > 60:
            break
        time.sleep(wait)
    sys.exit(f"Try again later. {reason}")


def issue(operation, **fields):
    """Returns a new code's context. An application sends the code to the user, and does not show it."""
    answer = post(operation, **fields)
    if "error_code" in answer:
        sys.exit(answer["error"])
    print("Code:", answer["otp"], flush=True)
    return answer["context"]


context = issue("generate", identifier="you@example.com")
for line in sys.stdin:
    typed = line.strip()
    if not typed:
        continue
    answer = post("verify", otp=typed, context=context)
    if "error_code" not in answer:
        print("Verified.")
        sys.exit()
    if answer["error_code"] == "INVALID_OTP":
        # It counts: the new context says so, and goes with the next attempt.
        context = answer["context"]
        print(answer["error"], flush=True)
        if answer["attempts_remaining"] == 0:
            sys.exit(1)
    elif answer["error_code"] == "OTP_EXPIRED":
        # The verification goes on with a new code.
        context = issue("resend", context=context)
    else:
        # Used, revoked, exhausted, ended: only a new verification helps.
        sys.exit(answer["error"])
sys.exit("Nothing more was typed.")
