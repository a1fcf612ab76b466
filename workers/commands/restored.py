"""`rollcall restored`: what is to become of the mail of a database that was restored from a backup."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated

import typer

from config.database import transaction
from config.runtime import Runtime
from config.services import DATABASE, REDIS
from config.words import counted
from tasks import organisations
from tasks.mail.ledger import control
from tasks.mail.ledger import restored as deciding
from tasks.mail.ledger.witness import Witness
from workers.commands.common import By, Json, Refused, document, opened, out, table, who
from workers.commands.imports import at_a_terminal

#: Mails remembered in one statement.
SLICE = 50_000


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
    affected: list[deciding.Affected]


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
        witness = Witness(runtime.endpoints.redis_url, runtime.home)
        with transaction(runtime.engine) as connection:
            noticed = deciding.notice(connection, witness) or control.asks(connection)
            if yes:
                control.hold_restored(connection)
        with transaction(runtime.engine) as connection:
            since = witness.sent_since(connection)
            known = {**since.mails, **control.all_known(connection)}
            everyone = organisations.every(connection)
        affected = [one for org in everyone for one in _survey(runtime, org, known).affected]
        seen = Restored(noticed, False, since.answers, since.groups, since.unknown, len(known), affected)
        if not json_:
            _print(seen)
        if yes or (at_a_terminal() and not json_ and typer.confirm(_QUESTION, err=True)):
            _settle(runtime, witness, everyone, known, who(by))
            seen = replace(seen, settled=True)
    if json_:
        document(seen)
    elif seen.settled:
        out.print("Decided. Resume or cancel each announcement, then let mail leave: rollcall mail resume.")
    if noticed and not seen.settled:
        raise Refused("Nothing is decided yet, and no mail leaves: rollcall restored --yes decides it as it says.")


_QUESTION = "Decide it so? What went is then uncertain, and announcements ask"


def _survey(runtime: Runtime, org: organisations.Organisation, known: Mapping[int, bool]) -> deciding.Found:
    with transaction(runtime.engine, org.organisation) as connection:
        return deciding.survey(connection, org.organisation, org.id, known)


def _settle(
    runtime: Runtime,
    witness: Witness,
    everyone: list[organisations.Organisation],
    known: Mapping[int, bool],
    by: str,
) -> None:
    """Write it down, organisation by organisation; were it cut short, it is asked again, and nothing is done twice."""
    with transaction(runtime.engine) as connection:
        control.hold_restored(connection)
    keep(runtime, known)
    for org in everyone:
        with transaction(runtime.engine, org.organisation) as connection:
            found = deciding.survey(connection, org.organisation, org.id, known)
            deciding.write(connection, org.organisation, found)
            control.recall(connection, list(found.matched))
            deciding.hold(connection, org.organisation, by)
    with transaction(runtime.engine) as connection:
        begin = control.settle_restored(connection, witness.highest(connection))
    with transaction(runtime.engine) as connection:
        witness.begin_anew(connection, begin)


def keep(runtime: Runtime, known: Mapping[int, bool]) -> None:
    """Remember which mails went, for those that are asked for again later."""
    mails = list(known.items())
    for start in range(0, len(mails), SLICE):
        with transaction(runtime.engine) as connection:
            control.remember(connection, dict(mails[start : start + SLICE]))


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
