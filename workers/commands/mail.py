"""`rollcall mail`: what an operator sets up for mail to be trusted, whether it goes, and what is sent again."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import typer

from config import services
from config.log import configure_logging
from config.settings import SmtpServer, load_settings, sender_address
from config.words import counted
from tasks.mail import check as checking
from tasks.mail.dkim import Signer
from tasks.mail.retrying import NOTICES, RetriedNotices, retry_notices
from tasks.mail.rules import Kind
from workers.commands.common import PAST, Json, Org, Refused, asked, document, opened, out, past

app = typer.Typer(help="Mail: what is to be set up for it, and whether it goes.", no_args_is_help=True)

__all__ = ["RetriedNotices", "app", "checking"]

#: The kinds of notices.
NoticeKind = StrEnum("NoticeKind", {kind.name: kind.value for kind in NOTICES})  # type: ignore[misc]

#: Characters of one string of a DNS record: RFC 1035 section 3.3.
LONGEST_STRING = 255


@app.callback()
def mail() -> None:
    """Mail: what is to be set up for it, and whether it goes."""


@dataclass(frozen=True, slots=True)
class Record:
    """A record of the DNS."""

    name: str
    type: str
    value: str


@app.command()
def dkim(json_: Json = False) -> None:
    """Print the DNS record with the public half of DKIM_KEY, by which receivers check the signature of a mail."""
    settings = load_settings()
    if settings.dkim_key is None or settings.dkim_selector is None:
        raise Refused("DKIM_KEY is not set: mail is not signed.")
    signer = Signer(settings.dkim_key.get_secret_value(), settings.dkim_selector, settings.signing_domain)
    name, value = signer.record()
    if json_:
        document(Record(name, "TXT", value))
        return
    strings = [value[start : start + LONGEST_STRING] for start in range(0, len(value), LONGEST_STRING)]
    quoted = " ".join(f'"{string}"' for string in strings)
    out.print(f"{name}. IN TXT ( {quoted} )", markup=False)


@app.command()
def check(
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="ADDRESS", help="A recipient to name; the sender of our mail otherwise."),
    ] = None,
    json_: Json = False,
) -> None:
    """Connect to the mail server, encrypt, sign in, name a sender and a recipient, and leave: nothing is sent.

    Says what the server or TLS said where it does not let us through, and what to do; the exit code is 1 then.
    """
    settings = load_settings()
    configure_logging(settings.rollcall_log, settings.rollcall_log_level)
    with services.endpoints(settings, frozenset({"smtp"})) as (found, _):
        sender = sender_address(found.mail_from)
        server = SmtpServer.parse(found.smtp_url)
        seen = checking.check(server, sender, to or sender, timeout=settings.rollcall_smtp_timeout_seconds)
    if json_:
        document(seen)
    if not seen.ok:
        raise Refused(seen.in_words)
    if not json_:
        out.print(seen.in_words, markup=False)


@app.command()
def retry(
    organisation: Org,
    since: Annotated[str, typer.Option("--since", metavar="TIME", help=f"What has failed since then: {PAST}.")],
    kind: Annotated[
        list[NoticeKind] | None, typer.Option("--kind", help="Of these kinds alone; may be repeated.")
    ] = None,
    json_: Json = False,
) -> None:
    """Send notices again that have failed: enrolments, digests, passwords, seats. An announcement is retried by
    `announcements retry-failed`. Whom the gate holds back now stays as they are."""
    kinds = [Kind(one.value) for one in kind or list(NoticeKind)]
    moment = past(since, "--since")
    with opened("mail") as runtime, asked(runtime, organisation) as (connection, org):
        size = runtime.settings.rollcall_mail_batch
        retried = retry_notices(connection, org.organisation, kinds, moment, size=size)
    if json_:
        document(retried)
        return
    for one in retried:
        out.print(
            f"{counted(one.pending, 'recipient')} of {counted(one.mailings, f'{one.kind} notice')}"
            f" {'is' if one.pending == 1 else 'are'} tried again.",
            markup=False,
        )
    if not retried:
        out.print("Nothing has failed since then, or the gate holds back who has.", style="dim")
