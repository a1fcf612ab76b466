"""Whether the mail server would take our mail: as far as a recipient is named, and no further."""

import asyncio
from dataclasses import dataclass

import aiosmtplib

from config.settings import SmtpServer
from config.tls import client_context
from tasks.mail.addresses import needs_smtputf8, wire_address
from tasks.mail.sending.answers import About, Stage, about
from tasks.mail.sending.outages import UNREACHABLE, WHAT_TO_DO, as_said, not_reached


@dataclass(frozen=True, slots=True)
class ServerCheck:
    """How far we came (`connect`, `MAIL`, `RCPT`), and what was said there; what to do, if we were not let through."""

    ok: bool
    host: str
    port: int
    encrypted: bool
    signed_in: bool
    stage: str
    code: int | None
    said: str
    about: str | None
    what_to_do: str | None

    @property
    def in_words(self) -> str:
        """What was said as a person reads it, and what to do where we were not let through."""
        said = " ".join(str(part) for part in (self.code, self.said) if part)
        if self.ok:
            encrypted = "encrypted" if self.encrypted else "not encrypted"
            how = f"{encrypted}, {'signed in' if self.signed_in else 'no sign-in'}"
            return f"The mail server {self.host}:{self.port} takes our mail ({how}): {said}"
        return (
            f"The mail server {self.host}:{self.port} does not take our mail ({self.stage}, {self.about}): {said}."
            f" Do this: {self.what_to_do}."
        )


def check(server: SmtpServer, sender: str, recipient: str, *, timeout: float) -> ServerCheck:
    """Connect, encrypt, sign in, name a sender and a recipient, and leave: no message is given. Raises ValueError for a
    recipient that no mail can be sent to."""
    return asyncio.run(_check(server, sender, wire_address(recipient), timeout))


async def _check(server: SmtpServer, sender: str, recipient: str, timeout: float) -> ServerCheck:
    client = aiosmtplib.SMTP(
        hostname=server.host,
        port=server.port,
        username=server.user,
        password=server.password,
        use_tls=server.tls == "implicit",
        start_tls=server.tls == "starttls",
        tls_context=None if server.tls == "none" else client_context(),
        timeout=timeout,
    )
    secrets = (server.password, server.user)
    stage = Stage.CONNECT
    try:
        await client.connect()
        if client.is_ehlo_or_helo_needed:
            await client.ehlo()
        stage = Stage.MAIL
        await client.mail(sender, options=["SMTPUTF8"] if needs_smtputf8(recipient) else None)
        stage = Stage.RCPT
        code, said = await client.rcpt(recipient, encoding="utf-8")
        await client.quit()
    except aiosmtplib.SMTPResponseException as problem:
        client.close()
        said = as_said(problem.message, secrets)
        return _server_check(server, stage, problem.code, said, about(problem.code, problem.message, stage=stage))
    except (aiosmtplib.SMTPException, OSError, ValueError) as problem:
        client.close()
        number, said, what = not_reached(problem, secrets)
        return _server_check(server, stage, number, said, what)
    return _server_check(server, stage, code, as_said(said, secrets), None, ok=True)


def _server_check(
    server: SmtpServer, stage: Stage, code: int | None, said: str, what: About | None, *, ok: bool = False
) -> ServerCheck:
    reached = stage is not Stage.CONNECT
    known = None if ok else what.value if what is not None else UNREACHABLE
    return ServerCheck(
        ok,
        server.host,
        server.port,
        reached and server.tls != "none",
        reached and server.user is not None,
        stage.value,
        code,
        said,
        known,
        None if known is None else WHAT_TO_DO.get(known, "see what the server says"),
    )
