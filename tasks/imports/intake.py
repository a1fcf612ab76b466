"""What an import does: a line that says something new is what an event that describes the learner would be (R2, R6)."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import structlog
from sqlalchemy import Connection, Engine
from tenacity import retry_if_exception

from config.database import is_connection_problem, is_retryable, lock_organisations, retrying, scoped
from config.settings import Settings
from tasks import effects, enrolments, intake, organisations
from tasks.imports import store
from tasks.imports.reader import Batch
from tasks.imports.rules import Field
from tasks.organisations import Organisation

log = structlog.get_logger()

#: Pages of lines (8 kB each) that are taken in one transaction: some 25,000 learners, within a second or so. Events of
#: the organisation wait that long, not until a million learners are imported.
SLICE_PAGES = 500


@dataclass(slots=True)
class Imported:
    """What was taken of a file and what was not: read = new + changed + unchanged + refused.

    `inactive`: taken lines with a status that means inactive. `activated`, `deactivated`: learners who were known and
    stood otherwise.
    """

    organisation: str
    dry_run: bool
    read: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    inactive: int = 0
    activated: int = 0
    deactivated: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    refused_file: str | None = None


@dataclass(frozen=True, slots=True)
class _Cause:
    """A person's import, as the cause of what follows from it."""

    key: tuple[str, str]
    time: datetime


def take(
    engine: Engine,
    settings: Settings,
    organisation: Organisation,
    fields: Sequence[Field],
    batches: Iterable[Batch],
    refused: Path,
    *,
    notify: bool = True,
    dry_run: bool = False,
    on_slice: Callable[[int, int], None] = lambda _done, _of: None,
) -> Imported:
    """Import a file in constant memory. Nothing is taken before all of it is read and judged; then it is taken in
    slices, each in a transaction of its own. One that is interrupted is finished by importing the same file again.

    `refused` is written where lines are refused. `on_slice` is told how much is taken, of how much.
    Raises OSError where `refused` cannot be written, and `NotReadable`; nothing is taken then.
    """
    number, id_ = organisation.organisation, f"import-{uuid4()}"
    with engine.connect() as connection, scoped(connection, number):
        connection.detach()  # its temporary tables end with it
        with connection.begin():
            store.stage(connection, fields, batches)
        with connection.begin():
            expected = organisations.numbered(connection, number).learners
            store.arrange(connection, number)
            result, known = _judged(connection, organisation, refused, dry_run=dry_run)
            pages = store.pages(connection)
        for low in range(0, pages, SLICE_PAGES):
            for attempt in retrying().copy(retry=retry_if_exception(_is_lost_race)):
                with attempt, connection.begin() as transaction:
                    lock_organisations(connection, [number])
                    taking = effects.Taking(connection, settings, organisations.numbered(connection, number))
                    moved = taking.organisation.learners != expected
                    part = store.Slice(low, low + SLICE_PAGES, known=known or moved, moved=moved)
                    cause = _Cause(("rollcall:cli", f"{id_}-{low}"), datetime.now(UTC))
                    done = _take_slice(taking, part, cause, fields, notify=notify)
                    if dry_run:
                        transaction.rollback()
            expected += 0 if dry_run else done.new
            result.new += done.new + done.arrived
            result.changed += done.changed - done.arrived
            result.activated += done.activated
            result.deactivated += done.deactivated
            on_slice(min(low + SLICE_PAGES, pages), pages)
    result.unchanged = result.read - result.new - result.changed - sum(result.refused.values())
    counts = {name: n for name, n in asdict(result).items() if name not in {"organisation", "refused_file"}}
    log.info("import.finished", organisation=number, **counts)
    return result


def _is_lost_race(problem: BaseException) -> bool:
    """Not a lost connection: the lines are lost with it."""
    return is_retryable(problem) and not is_connection_problem(problem)


def _judged(
    connection: Connection, organisation: Organisation, refused: Path, *, dry_run: bool
) -> tuple[Imported, bool]:
    """What the lines came to before any is taken, and whether any is about a learner who is known; those that are
    refused are in their file."""
    result, known = Imported(organisation.id, dry_run), 0
    for count in store.judged(connection):
        result.read += count.n
        known += count.known
        if count.reason is None:
            result.inactive = count.inactive
        else:
            result.refused[count.reason] = count.n
    if result.refused:
        result.refused_file = str(refused)
        with refused.open("wb") as file:
            file.writelines(store.refused_lines(connection))
    return result, known > 0


@dataclass(frozen=True, slots=True)
class _Done:
    """What became of a slice. `changed`: of learners who had a number; `arrived`: those of them who were not saved."""

    new: int
    changed: int
    arrived: int
    activated: int
    deactivated: int


def _take_slice(
    taking: effects.Taking, part: store.Slice, cause: _Cause, fields: Sequence[Field], *, notify: bool
) -> _Done:
    """Take the lines of a slice, and all that follows from them, under the organisation's lock."""
    connection, number, before = taking.connection, taking.number, taking.organisation.learners
    described = store.describe_known(connection, number, part, fields, cause.time) if part.known else []
    changes = [one.change for one in described if one.before != one.after]
    new = store.add_new(connection, number, part, before, cause.time)
    if Field.STATUS in fields:
        store.begin_history(connection, number, before + 1, before + new)
    arrived = [change.learner for change in changes if change.arrived]
    enrolments.many_arrived(
        connection,
        taking.settings,
        taking.organisation,
        cause,
        [*range(before + 1, before + new + 1), *arrived],
        notify=notify,
    )
    effects.follow(
        taking,
        [change for change in changes if not change.arrived],
        {one.learner: _Cause((cause.key[0], f"{cause.key[1]}-known"), one.time) for one in described},
    )
    effects.judge_again(taking, [one.learner for one in described if one.said])
    effects.tell_admins(connection, number, taking.void)
    known = taking.known | store.awaited(connection, number, part) | {f"enrolled:{number}"}
    intake.take_waiting(connection, taking.settings, known)
    return _Done(
        new,
        len(described),
        sum(change.arrived or change.returned for change in changes),
        sum(change.reactivated and not change.returned for change in changes),
        sum(change.suspended for change in changes),
    )
