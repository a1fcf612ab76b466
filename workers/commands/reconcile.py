"""`rollcall reconcile`: proves that what is derived agrees with what it is derived from, and mends what does not."""

from dataclasses import dataclass
from typing import Annotated

import typer
from rich.progress import track

from config.database import snapshot, transaction
from config.runtime import Runtime
from config.words import counted
from tasks import enrolments, organisations
from tasks.mail import IT_WAS_RESTORED, Witness, asks_after_restore
from tasks.reconcile import DeviationCount, deviations, repair
from workers.commands.common import Json, Refused, chosen, err, opened, out, say_table


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What was looked at, what was off, and whether it was mended; `restored`: the database was restored from a backup,
    and nobody has decided yet what is to become of its mail."""

    organisations: int
    off: list[DeviationCount]
    repaired: bool
    restored: bool = False


def reconcile(
    organisation: Annotated[
        str | None, typer.Option("--organisation", "-o", metavar="ORG", help="Only this one; all unless named.")
    ] = None,
    mend: Annotated[
        bool, typer.Option("--repair", help="Mend what is off; nobody is mailed of an enrolment by it.")
    ] = False,
    json_: Json = False,
) -> None:
    """Prove that status, memberships and enrolments are what history and rules say; for after a restore.

    Exit code 1 where something is off and was not mended, or where it asks what is to become of the mail of a restored
    database.
    """
    with opened("reconcile", sees_restores=True) as runtime:
        with transaction(runtime.engine) as connection:
            those = chosen(connection, organisation)
            asks = asks_after_restore(connection, Witness(runtime.endpoints.redis_url, runtime.home))
        off: list[DeviationCount] = []
        for one in track(those, "Comparing", console=err, disable=not err.is_terminal, transient=True):
            off += _reconcile(runtime, one, mend=mend)
    result = Reconciled(len(those), off, repaired=mend and bool(off), restored=asks)
    say_table(
        result,
        ["organisation", "what is off", "course", "how many"],
        [[entry.organisation, entry.deviation, entry.course, entry.n] for entry in off],
        f"{counted(len(those), 'organisation')}: " + ("what is derived agrees." if asks else "everything agrees."),
        json_=json_,
    )
    if off and not mend:
        raise Refused("What is off can be mended: rollcall reconcile --repair.")
    if off and not json_:
        out.print("Mended; what is large is left to the workers: look again after rollcall wait.")
    if asks:
        raise Refused(f"{IT_WAS_RESTORED}: rollcall restored.")


def _reconcile(runtime: Runtime, organisation: organisations.Organisation, *, mend: bool) -> list[DeviationCount]:
    number = organisation.organisation
    with snapshot(runtime.engine, number) as connection:
        if enrolments.any_running(connection, number):
            raise Refused(f"Enrolments of {organisation.id!r} are under way: come back after rollcall wait.")
        off = deviations(connection, organisation)
    if off and mend:
        with transaction(runtime.engine, number) as connection:
            repair(connection, runtime.settings, organisation)
    return off
