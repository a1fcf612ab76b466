"""`rollcall mail`: what an operator sets up for mail to be trusted, whether it goes, and what is sent again."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import typer

from config import services
from config.database import transaction
from config.log import configure_logging
from config.settings import SmtpServer, load_settings, sender_address
from config.words import counted
from tasks import organisations
from tasks.mail.composing.dkim import Signer
from tasks.mail.ledger import control, restored
from tasks.mail.ledger import server_logs as logs
from tasks.mail.ledger.retrying import NOTICES, RetriedNotices, retry_notices
from tasks.mail.ledger.witness import Witness
from tasks.mail.rules import Kind
from tasks.mail.sending import checking
from workers.commands.common import (
    PAST,
    By,
    Json,
    Org,
    Refused,
    asked,
    document,
    opened,
    out,
    past,
    readable,
    say_if_paused,
    who,
)
from workers.commands.restored import keep

app = typer.Typer(help="Mail: what is to be set up for it, and whether it goes.", no_args_is_help=True)

__all__ = ["RetriedNotices", "app", "checking"]

#: The kinds of notices.
NoticeKind = StrEnum("NoticeKind", {kind.name: kind.value for kind in NOTICES})  # type: ignore[misc]

#: How compressed files begin: gzip, bzip2, xz, zstd. Logs that were rotated often are.
COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")

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
        try:
            seen = checking.check(server, sender, to or sender, timeout=settings.rollcall_smtp_timeout_seconds)
        except ValueError as problem:
            raise typer.BadParameter(f"{problem}.", param_hint="--to") from None
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
    uncertain: Annotated[
        bool,
        typer.Option("--uncertain", help="Also those of whom it is uncertain whether they got it: some get it twice."),
    ] = False,
    json_: Json = False,
) -> None:
    """Send notices again that have failed: enrolments, digests, passwords, seats. An announcement is retried by
    `announcements retry-failed`. Whom the gate holds back now stays as they are."""
    kinds = [Kind(one.value) for one in kind or list(NoticeKind)]
    moment = past(since, "--since")
    with opened("mail") as runtime:
        size = runtime.settings.rollcall_mail_batch
        with asked(runtime, organisation) as (connection, org):
            retried = retry_notices(connection, org.organisation, kinds, moment, size=size, uncertain=uncertain)
        say_if_paused(runtime)
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


@dataclass(frozen=True, slots=True)
class MailStands:
    """Whether all mail is paused; and whether that is news."""

    changed: bool
    paused: control.MailPaused | None


@app.command()
def pause(by: By = None, json_: Json = False) -> None:
    """Let no mail leave, of any organisation, password mail included; every worker obeys within a second.

    It holds until `mail resume`, whatever is started anew. What is under way is finished.
    """
    with opened("mail") as runtime, transaction(runtime.engine) as connection:
        changed = control.pause(connection, who(by))
        paused = control.paused(connection)
    if json_:
        document(MailStands(changed, paused))
    elif paused is not None:
        out.print(control.in_words(paused), markup=False)


@app.command()
def resume(json_: Json = False) -> None:
    """Let mail leave again; announcements that are paused themselves stay so."""
    with opened("mail") as runtime, transaction(runtime.engine) as connection:
        if control.asks(connection):
            raise Refused("The database was restored from a backup: first say rollcall restored, or mail goes twice.")
        changed = control.resume(connection)
    if json_:
        document(MailStands(changed, None))
    else:
        out.print("Mail leaves again." if changed else "Mail was not paused.")


@dataclass(frozen=True, slots=True)
class SentInLog:
    """What a log said: `lines` read; `mails` of ours that went, by their Message-IDs; deliveries that are now
    `accepted`, or `uncertain` because the log does not say whether the server took them; mails of ours that are of no
    delivery that is pending or uncertain (`unmatched`); whether these are `kept`, for mail that is asked for again."""

    lines: int
    mails: int
    accepted: int
    uncertain: int
    unmatched: int
    kept: bool


@app.command("sent-since")
def sent_since(
    from_log: Annotated[
        str, typer.Option("--from-log", metavar="FILE", help="The log of Postfix, Exim or another server; - for stdin.")
    ],
    json_: Json = False,
) -> None:
    """Read from a mail server's log which of our mails it took, by their Message-IDs; for after a restore.

    Give it the log from the time of the backup on. Deliveries that are pending or uncertain are accepted if the log
    says that the server took the mail. After a restore the others are kept for 30 days, so that what is asked for again
    is not sent again.
    """
    with readable(from_log) as file:
        if file.read(6).startswith(COMPRESSED):
            raise Refused(
                f"{from_log} is compressed, and nothing was read. Unpack it:"
                " zcat FILE (bzcat, xzcat, zstdcat) | rollcall mail sent-since --from-log -"
            )
        file.seek(0)
        seen = logs.read(line.decode(errors="replace") for line in file)
    with opened("mail") as runtime:
        with transaction(runtime.engine) as connection:
            restored.notice(connection, Witness(runtime.endpoints.redis_url, runtime.home))
            kept = control.was_restored(connection)
            everyone = organisations.every(connection)
        # Where nothing was restored, only what the server is known to have taken says anything.
        mails = seen.mails if kept else {message: True for message, taken in seen.mails.items() if taken}
        if kept:
            keep(runtime, mails)
        accepted = uncertain = 0
        matched: set[int] = set()
        for org in everyone:
            with transaction(runtime.engine, org.organisation) as connection:
                found = restored.survey(connection, org.organisation, org.id, mails)
                taken, doubted = restored.write(connection, org.organisation, found)
                control.recall(connection, list(found.matched))
            accepted, uncertain, matched = accepted + taken, uncertain + doubted, matched | found.matched
    result = SentInLog(seen.lines, len(seen.mails), accepted, uncertain, len(mails.keys() - matched), kept)
    if json_:
        document(result)
        return
    out.print(
        f"{counted(result.mails, 'mail')} of ours in {counted(result.lines, 'line')}:"
        f" {counted(accepted, 'delivery is', 'deliveries are')} accepted now, {uncertain} uncertain;"
        f" {counted(result.unmatched, 'mail is', 'mails are')} of no delivery that is open"
        + (", and not sent again if asked for again." if kept else ".")
    )
