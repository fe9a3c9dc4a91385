"""The other side of otpd's contexts: Fernet and JSON as Python has them.

Reads one JSON object from standard input and writes one to standard output.

  {"do": "open", "key": K, "context": C}
      opens C and answers {"claims": {...}, "types": {name: type}}
  {"do": "seal", "key": K, "claims": {...}}
      answers {"context": C} with the claims sealed as django-otp-actions does
  {"do": "continue", "key": K, "context": C}
      opens C, counts one more wrong code and answers {"context": C} sealed again
"""

import json
import sys

from cryptography.fernet import Fernet


def open_context(fernet, context):
    return json.loads(fernet.decrypt(context.encode("ascii")))


def seal(fernet, claims):
    return fernet.encrypt(json.dumps(claims).encode("utf-8")).decode("ascii")


def main():
    request = json.load(sys.stdin)
    fernet = Fernet(request["key"])
    if request["do"] == "open":
        claims = open_context(fernet, request["context"])
        answer = {"claims": claims, "types": {name: type(value).__name__ for name, value in claims.items()}}
    elif request["do"] == "seal":
        answer = {"context": seal(fernet, request["claims"])}
    elif request["do"] == "continue":
        claims = open_context(fernet, request["context"])
        claims["retry_count"] += 1
        answer = {"context": seal(fernet, claims)}
    else:
        sys.exit("unknown request")
    json.dump(answer, sys.stdout)


main()
