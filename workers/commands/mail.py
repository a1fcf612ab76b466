"""`rollcall mail`: what an operator sets up for mail to be trusted, whether it goes, and what is sent again."""

from dataclasses import dataclass
from typing import Annotated

import typer

from config.errors import Invalid
from config.settings import load_settings
from config.words import counted
from tasks.acts import mail as acts
from tasks.acts.acting import Nothing
from tasks.mail import Signer
from workers.commands.common import (
    PAST,
    By,
    Json,
    Org,
    Refused,
    acting,
    document,
    done,
    out,
    past,
    readable,
    say,
    say_if_paused,
)

app = typer.Typer(help="Mail: what is to be set up for it, and whether it goes.", no_args_is_help=True)

#: How compressed files begin: gzip, bzip2, xz, zstd. Logs that were rotated often are.
COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")

#: Characters of one string of a DNS record: RFC 1035 section 3.3.
LONGEST_STRING = 255


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
    strings = [value[start : start + LONGEST_STRING] for start in range(0, len(value), LONGEST_STRING)]
    quoted = " ".join(f'"{string}"' for string in strings)
    say(Record(name, "TXT", value), f"{name}. IN TXT ( {quoted} )", json_=json_)


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
    try:
        with acting("mail", frozenset({"smtp"})) as do:
            seen = do(acts.check, acts.ServerCheckTo(to))
    except Invalid as problem:
        raise typer.BadParameter(str(problem), param_hint="--to") from None
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
        list[acts.NoticeKind] | None, typer.Option("--kind", help="Of these kinds alone; may be repeated.")
    ] = None,
    uncertain: Annotated[
        bool,
        typer.Option("--uncertain", help="Also those of whom it is uncertain whether they got it: some get it twice."),
    ] = False,
    json_: Json = False,
) -> None:
    """Send notices again that have failed: enrolments, digests, passwords, seats. An announcement is retried by
    `announcements retry-failed`. Whom the gate holds back now stays as they are."""
    wanted = acts.NoticesRetry(past(since, "--since"), kind, uncertain)
    with acting("mail") as do:
        retried = do(acts.retry, wanted, organisation)
        say_if_paused(do)
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


@app.command()
def pause(by: By = None, json_: Json = False) -> None:
    """Let no mail leave, of any organisation, password mail included; every worker obeys within a second.

    It holds until `mail resume`, whatever is started anew. What is under way is finished.
    """
    stands = done(acts.pause, Nothing(), by=by)
    say(stands, *([] if stands.paused is None else [stands.paused.in_words]), json_=json_)


@app.command()
def resume(json_: Json = False) -> None:
    """Let mail leave again; announcements that are paused themselves stay so."""
    stands = done(acts.resume, Nothing())
    say(stands, "Mail leaves again." if stands.changed else "Mail was not paused.", json_=json_)


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
        with acting("mail", sees_restores=True) as do:
            result = do(acts.sent_since, acts.ServerLog(file))
    say(
        result,
        f"{counted(result.mails, 'mail')} of ours in {counted(result.lines, 'line')}:"
        f" {counted(result.accepted, 'delivery is', 'deliveries are')} accepted now, {result.uncertain} uncertain;"
        f" {counted(result.unmatched, 'mail is', 'mails are')} of no delivery that is open"
        + (", and not sent again if asked for again." if result.kept else "."),
        json_=json_,
    )
