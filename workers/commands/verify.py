"""`rollcall verify`: proves what must hold, of every organisation and of the database, and changes nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Annotated

import typer
from sqlalchemy import Connection, Engine

from config.database import retrying, snapshot
from config.engine import make_engine
from config.errors import ConfigurationError
from config.runtime import Runtime
from config.settings import load_settings
from config.urls import verified_postgresql
from config.words import counted
from tasks import verification
from tasks.organisations import Organisation
from workers.commands.common import Json, Refused, check_schema, chosen, document, opened, out, progress_bar


@dataclass(frozen=True, slots=True)
class FoundBreach:
    """What does not hold; `organisation`: whose it is, or null if it is about the database as a whole."""

    organisation: str | None
    what: str
    id: str
    detail: str

    @property
    def in_words(self) -> str:
        """The same, as one line."""
        return f"{self.organisation or 'database'}: {self.what} {self.id}: {self.detail}"


@dataclass(frozen=True, slots=True)
class VerifiedDatabase:
    """What does not hold, up to 1,000 of each check and organisation. `under_way`: organisations whose enrolments were
    not compared with their rules, as a fan-out of theirs is running."""

    organisations: int
    checks: int
    breaches: list[FoundBreach]
    under_way: list[str]


def verify(
    only: Annotated[
        str | None, typer.Argument(metavar="[ORG]", help="Only this organisation; all, and the database, unless named.")
    ] = None,
    database_url: Annotated[
        str | None,
        typer.Option(
            "--database-url",
            metavar="URL",
            help="A replica to ask in place of the database. One with a password belongs in DATABASE_REPLICA_URL, which"
            " is not seen in the list of processes.",
        ),
    ] = None,
    json_: Json = False,
) -> None:
    """Prove everything that must hold: counts, ledgers, rules, leases, orphans, and what the database itself promises.

    It reads one organisation at a time, each at one moment, and may run while everybody works. It changes nothing. Exit
    code 1 if anything does not hold, with a line for each.
    """
    with _asked(database_url) as runtime:
        with snapshot(runtime.engine, None, read_only=True) as connection:
            those = chosen(connection, only)
        result = _verify(runtime.engine, those, whole=only is None, say=not json_)
    if json_:
        document(result)
    else:
        for name in result.under_way:
            out.print(f"{name}: enrolments are under way, and were not compared with the rules.", markup=False)
        out.print(f"{counted(result.organisations, 'organisation')}, {counted(result.checks, 'check')}.")
        if not result.breaches:
            out.print("Everything holds.", style="green")
    if result.breaches:
        raise Refused(
            f"{counted(len(result.breaches), 'thing does', 'things do')} not hold: docs/states.md says what each means."
        )


@contextmanager
def _asked(named: str | None) -> Iterator[Runtime]:
    """The database, or the replica that is named."""
    kept = load_settings().database_replica_url
    url = named if named is not None else None if kept is None else kept.get_secret_value()
    if url is None:
        with opened("verify") as runtime:
            yield runtime
        return
    try:
        url = verified_postgresql(url)
    except ValueError as problem:
        raise ConfigurationError(f"--database-url: {problem}") from None
    with opened("verify", frozenset()) as runtime:
        engine = make_engine(url, role="verify")
        try:
            replica = replace(runtime, engine=engine)
            check_schema(replica)
            yield replica
        finally:
            engine.dispose()


def _verify(engine: Engine, chosen: list[Organisation], *, whole: bool, say: bool) -> VerifiedDatabase:
    breaches: list[FoundBreach] = []
    under_way: list[str] = []
    checks = 0
    with progress_bar() as progress:
        task = progress.add_task("Verifying", total=len(chosen) + whole)
        for one in [*[None] * whole, *chosen]:
            name = None if one is None else one.id
            for attempt in retrying():  # a replica takes back what stands in the way of what it replays
                with attempt, snapshot(engine, None if one is None else one.organisation, read_only=True) as connection:
                    found = [*_checks(connection, one)]
            checks += len(found)
            if None in found:
                under_way.append(name or "")
            for breach in (breach for some in found for breach in some or ()):
                breaches.append(FoundBreach(name, breach.what, breach.id, breach.detail))
                if say:
                    out.print(breaches[-1].in_words, style="red", markup=False)
            progress.advance(task)
    return VerifiedDatabase(len(chosen), checks, breaches, under_way)


def _checks(connection: Connection, one: Organisation | None) -> Iterator[list[verification.Breach] | None]:
    if one is None:
        yield from verification.of_database(connection)
    else:
        yield from verification.of_organisation(connection, one)
