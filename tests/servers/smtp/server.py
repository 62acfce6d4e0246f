"""A mail server for tests: aiosmtpd, which keeps each letter that it takes as a line of JSON.

Some recipients say how the server treats a letter: `busy` is told to come again, the first time; `full` always; `nobody`
is not known; and what is for `refuses` is refused when it is there.
"""

import argparse
import asyncio
import email
import email.policy
import json
import ssl

from aiosmtpd.smtp import SMTP, AuthResult


class Keeper:
    """Takes letters."""

    def __init__(self, path):
        self.path = path
        self.seen = set()

    async def handle_RCPT(self, server, session, envelope, address, options):
        name = address.split("@")[0]
        if name == "nobody":
            return f"550 5.1.1 <{address}> is not known here"
        if name == "full" or (name == "busy" and address not in self.seen):
            self.seen.add(address)
            return f"451 4.3.0 <{address}> is busy"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 fine"

    async def handle_DATA(self, server, session, envelope):
        if any(address.startswith("refuses@") for address in envelope.rcpt_tos):
            return f"554 5.7.1 refused for <{envelope.rcpt_tos[0]}>"
        letter = email.message_from_bytes(envelope.content, policy=email.policy.default)
        from_the_start = server.transport.get_extra_info("sslcontext")
        kept = {
            "encrypted": session.ssl is not None or from_the_start is not None,
            "authenticated": bool(session.authenticated),
            "sender": envelope.mail_from,
            "recipients": envelope.rcpt_tos,
            "headers": [[name, str(value)] for name, value in letter.items()],
            "text": letter.get_body(("plain",)).get_content(),
            "html": letter.get_body(("html",)).get_content(),
        }
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(kept) + "\n")
        return "250 2.0.0 taken"


def credentials(username, password):
    expected = (username.encode(), password.encode())

    def check(server, session, envelope, mechanism, data):
        return AuthResult(success=(data.login, data.password) == expected, handled=False)

    return check


async def serve(options):
    context = None
    if options.certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(options.certificate, options.key)
    settings = {"hostname": "mail.example.com", "enable_SMTPUTF8": False}
    if options.username:
        settings["authenticator"] = credentials(options.username, options.password)
        settings["auth_required"] = True
        # From the first byte it is encrypted, which it cannot know.
        settings["auth_require_tls"] = options.tls != "implicit"
    if context and options.tls == "starttls":
        settings |= {"tls_context": context, "require_starttls": True}
    keeper = Keeper(options.letters)
    around = context if options.tls == "implicit" else None
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(
        lambda: SMTP(keeper, **settings), "127.0.0.1", options.port, ssl=around
    )
    await listening.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--letters", required=True)
    parser.add_argument("--tls", choices=["none", "starttls", "implicit"], default="none")
    parser.add_argument("--certificate")
    parser.add_argument("--key")
    parser.add_argument("--username")
    parser.add_argument("--password")
    asyncio.run(serve(parser.parse_args()))
