"""Takes mail after STARTTLS and AUTH as user with the password secret, until its input ends.

It prints its port, and then each message as a line of JSON. Usage: aiosmtpd_server.py CERTIFICATE_AND_KEY
"""

import asyncio
import base64
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult


class Printer:
    async def handle_DATA(self, server, session, envelope):
        print(json.dumps({
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "options": envelope.mail_options,
            "user": session.auth_data.login.decode(),
            "hello": session.host_name,
            "data": base64.b64encode(envelope.original_content).decode(),
        }), flush=True)
        return "250 taken"


def authenticate(server, session, envelope, mechanism, data):
    good = data.login == b"user" and data.password == b"secret"
    return AuthResult(success=good, handled=False, auth_data=data)


async def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[1])
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(
            Printer(), tls_context=context, require_starttls=True, auth_required=True,
            authenticator=authenticate, enable_SMTPUTF8=True,
        ),
        "127.0.0.1", 0,
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


asyncio.run(main())
