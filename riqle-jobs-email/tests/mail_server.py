"""A real SMTP server (aiosmtpd) for tests/real_smtp.rs.

Prints the port that it took, then one JSON line an email. Ends with its parent, when stdin closes.
"""

import argparse
import asyncio
import email
import email.policy
import json
import ssl
import sys

try:
    from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
except ImportError:
    sys.exit("pip install aiosmtpd")


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("unknown@"):
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)

        def part(kind):
            return message.get_body(preferencelist=(kind,)).get_content().replace("\r\n", "\n")

        line = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos[0],
            "raw": envelope.content.decode("ascii"),
            "subject": message["Subject"],
            "text": part("plain"),
            "html": part("html"),
            "defects": [str(defect) for defect in message.defects],
            "encrypted": server.transport.get_extra_info("ssl_object") is not None,
        }
        print(json.dumps(line), flush=True)
        return "250 2.0.0 taken"


def authenticator(user, password):
    def check(server, session, envelope, mechanism, data):
        known = isinstance(data, LoginPassword) and data == LoginPassword(user.encode(), password.encode())
        return AuthResult(success=known, handled=False, auth_data=user)

    return check


async def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("encryption", choices=["none", "starttls", "implicit"])
    arguments.add_argument("--certificate")
    arguments.add_argument("--key")
    arguments.add_argument("--user")
    arguments.add_argument("--password")
    given = arguments.parse_args()

    tls = None
    if given.encryption != "none":
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(given.certificate, given.key)
    settings = {"hostname": "real.test"}
    if given.encryption == "starttls":
        settings |= {"tls_context": tls, "require_starttls": True}
    if given.user:
        settings |= {
            "authenticator": authenticator(given.user, given.password),
            "auth_required": True,
            "auth_require_tls": given.encryption == "starttls",
        }
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(Handler(), **settings),
        "127.0.0.1",
        0,
        ssl=tls if given.encryption == "implicit" else None,
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
