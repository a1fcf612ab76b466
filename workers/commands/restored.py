"""`rollcall restored`: what is to become of the mail of a database that was restored from a backup."""

from dataclasses import dataclass, replace
from typing import Annotated

import typer

from config.database import transaction
from config.services import DATABASE, REDIS
from config.words import counted
from tasks import mail
from workers.commands.common import By, Json, Refused, at_a_terminal, document, opened, out, table, who


@dataclass(frozen=True, slots=True)
class Restored:
    """What is known of the mail that went after the moment to which the database was restored. `noticed`: Rollcall
    found out by itself that it was; `settled`: it is decided now; `redis_answers`: whether Redis could be asked;
    `groups_known`: groups of mails begun since of which Redis knows the mails; `groups_unknown`: those of which it does
    not, at least; `mails_known`: mails that went since, by Redis or a log."""

    noticed: bool
    settled: bool
    redis_answers: bool
    groups_known: int
    groups_unknown: int
    mails_known: int
    affected: list[mail.Affected]


def restored(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Decide it without asking.")] = False,
    by: By = None,
    json_: Json = False,
) -> None:
    """Say that the database was restored from a backup, and decide what becomes of the mail that it would send again.

    Shows, mailing by mailing, what is pending, and what of it went since as far as is known. After a yes: what went is
    uncertain, announcements that were being sent are paused, scheduled ones wait for a launch by hand, and all mail
    stays paused until `rollcall mail resume`.
    """
    with opened("restored", DATABASE | REDIS) as runtime:
        witness = mail.Witness(runtime.endpoints.redis_url, runtime.home)
        with transaction(runtime.engine) as connection:
            noticed = mail.asks_after_restore(connection, witness, sure=yes)
        since, affected = mail.known_since_restore(runtime, witness)
        seen = Restored(noticed, False, since.answers, since.groups, since.unknown, len(since.mails), affected)
        if not json_:
            _print(seen)
        if yes or (at_a_terminal() and not json_ and typer.confirm(_QUESTION, err=True)):
            mail.settle_restore(runtime, witness, since.mails, who(by))
            seen = replace(seen, settled=True)
    if json_:
        document(seen)
    elif seen.settled:
        out.print("Decided. Resume or cancel each announcement, then let mail leave: rollcall mail resume.")
    if noticed and not seen.settled:
        raise Refused("Nothing is decided yet, and no mail leaves: rollcall restored --yes decides it as it says.")


_QUESTION = "Decide it so? What went is then uncertain, and announcements ask"


def _print(seen: Restored) -> None:
    if not seen.noticed:
        out.print("Nothing outside of this database says that it was restored. If it was, go on with --yes.")
    else:
        out.print("This database was restored from a backup: it has counted less mail than was seen outside of it.")
    if not seen.redis_answers:
        out.print("Redis cannot be asked what went since.")
    elif seen.noticed or seen.groups_known:
        unknown = f"; of at least {seen.groups_unknown} more it is not known which mails" if seen.groups_unknown else ""
        out.print(f"Redis knows the mails of {seen.groups_known} groups that were begun since{unknown}.")
    out.print(
        f"{counted(seen.mails_known, 'mail is', 'mails are')} known to have gone since."
        " rollcall mail sent-since reads more from a log."
    )
    table(
        ["organisation", "mail", "announcement", "state", "pending", "went since", "not known"],
        [
            [one.organisation, one.kind, one.announcement, one.state, one.pending, one.sent_since, one.not_known]
            for one in seen.affected
        ],
        "Nothing is pending, and nothing is scheduled.",
    )
