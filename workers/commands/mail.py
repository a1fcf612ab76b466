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
from tasks.mail import (
    NOTICES,
    Kind,
    MailPaused,
    RetriedNotices,
    SentInLog,
    ServerCheck,
    Signer,
    awaits_decision,
    check_server,
    pause_all,
    paused,
    record_log,
    resume_all,
    retry_notices,
)
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

app = typer.Typer(help="Mail: what is to be set up for it, and whether it goes.", no_args_is_help=True)

__all__ = ["RetriedNotices", "SentInLog", "ServerCheck", "app"]

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
            seen = check_server(server, sender, to or sender, timeout=settings.rollcall_smtp_timeout_seconds)
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
class MailState:
    """Whether all mail is paused; and whether that is news."""

    changed: bool
    paused: MailPaused | None


@app.command()
def pause(by: By = None, json_: Json = False) -> None:
    """Let no mail leave, of any organisation, password mail included; every worker obeys within a second.

    It holds until `mail resume`, whatever is started anew. What is under way is finished.
    """
    with opened("mail") as runtime, transaction(runtime.engine) as connection:
        changed = pause_all(connection, who(by))
        stands = paused(connection)
    if json_:
        document(MailState(changed, stands))
    elif stands is not None:
        out.print(stands.in_words, markup=False)


@app.command()
def resume(json_: Json = False) -> None:
    """Let mail leave again; announcements that are paused themselves stay so."""
    with opened("mail") as runtime, transaction(runtime.engine) as connection:
        if awaits_decision(connection):
            raise Refused("The database was restored from a backup: first say rollcall restored, or mail goes twice.")
        changed = resume_all(connection)
    if json_:
        document(MailState(changed, None))
    else:
        out.print("Mail leaves again." if changed else "Mail was not paused.")


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
        with opened("mail") as runtime:
            result = record_log(runtime, (line.decode(errors="replace") for line in file))
    if json_:
        document(result)
        return
    out.print(
        f"{counted(result.mails, 'mail')} of ours in {counted(result.lines, 'line')}:"
        f" {counted(result.accepted, 'delivery is', 'deliveries are')} accepted now, {result.uncertain} uncertain;"
        f" {counted(result.unmatched, 'mail is', 'mails are')} of no delivery that is open"
        + (", and not sent again if asked for again." if result.kept else ".")
    )
