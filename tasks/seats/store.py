"""Course starts, completions and the ledger, as SQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from msgspec import Struct
from sqlalchemy import Connection

from config.database import execute, integer, later, rows, the_one, tuples
from config.sql import query
from tasks.organisations import Organisation
from tasks.seats.rules import Facts, Occurrence, Unit, period_of, unit_of


class StartRecord(Struct, frozen=True):
    """A start that counts, as it is written down; `simple` unless it may change when the enrolment stood."""

    learner: int
    course: int
    cycle: int
    time: datetime
    simple: bool = True


class Charge(Struct, frozen=True):
    """A start that costs something, or is the first at no cost."""

    learner: int
    course: int
    cycle: int
    amount: int
    overdrawn: bool
    occurred_at: datetime
    event: str


@dataclass(frozen=True, slots=True)
class Completion:
    """A completion, as it is written down."""

    learner: int
    course: int
    cycle: int
    time: datetime
    result: str | None
    score: float | None


@dataclass(frozen=True, slots=True)
class Balance:
    """What was bought and used in the current licence period."""

    unit: str
    pool: int | None
    used: int
    entries: int
    overdrawn: int
    review: int


#: Whether a start of the learner `l` in the :course and :cycle is paid for already, for a statement with `charging`:
#: what `seats.facts_of_starts` asks of each place. Each is looked up, however large the ledger is.
CHARGED = """coalesce((
    SELECT true FROM consumptions paid
    WHERE paid.organisation = :organisation AND paid.learner = l.learner AND paid.unit = :unit
      AND CASE paid.unit WHEN 'seat' THEN in_period(paid.period, paid.occurred_at, :period, :ends)
          ELSE paid.course = :course AND paid.cycle = :cycle END
    LIMIT 1), false)"""


def charging(organisation: Organisation) -> dict[str, object]:
    """How a start would be charged now: the unit, and the bounds of the licence period (R25)."""
    return {
        "unit": unit_of(organisation).value,
        "period": period_of(organisation),
        "ends": organisation.licence_ends,
    }


def facts(
    connection: Connection, organisation: Organisation, places: Sequence[Occurrence], lead: timedelta
) -> list[Facts]:
    """What is known of each of these places, in their order. A start may be `lead` ahead of its enrolment (S12).

    What may be there is joined sideways, up to the first: of EXISTS the planner may make a hash of the whole ledger.
    """
    return rows(
        connection,
        Facts,
        query("seats.facts_of_starts"),
        organisation=organisation.organisation,
        **charging(organisation),
        lead=lead,
        learners=[p.learner for p in places],
        courses=[p.course for p in places],
        cycles=[p.cycle for p in places],
        times=[p.time for p in places],
    )


def record_starts(connection: Connection, organisation: int, starts: Sequence[StartRecord], *, released: bool) -> None:
    """Keep the earliest start of each enrolment, of those that change nothing else, and every start (R28)."""
    if not starts:
        return
    later(
        connection,
        query("seats.record_starts"),
        organisation=organisation,
        released=released,
        learners=[s.learner for s in starts],
        courses=[s.course for s in starts],
        cycles=[s.cycle for s in starts],
        times=[s.time for s in starts],
        simple=[s.simple for s in starts],
    )


def record_completions(connection: Connection, organisation: int, completions: Sequence[Completion]) -> None:
    """Keep the newest completion of each enrolment (S14); of two at the same time the greater, whichever is heard
    last."""
    execute(
        connection,
        """
        SELECT complete_enrolments(:organisation, CAST(:courses AS int[]), CAST(:cycles AS int[]),
                                   CAST(:learners AS int[]), CAST(:times AS timestamptz[]), CAST(:results AS text[]),
                                   CAST(:scores AS float8[]))
        """,
        organisation=organisation,
        learners=[c.learner for c in completions],
        courses=[c.course for c in completions],
        cycles=[c.cycle for c in completions],
        times=[c.time for c in completions],
        results=[c.result for c in completions],
        scores=[c.score for c in completions],
    )


def used(connection: Connection, organisation: Organisation) -> int:
    """What was used of the pool in this period so far; nobody else adds to it until the transaction ends.

    A period met for the first time is counted from the ledger: where its bounds were only corrected, much was used.
    """
    return integer(
        connection,
        query("seats.used_in_period"),
        organisation=organisation.organisation,
        **charging(organisation),
        pool=organisation.pool,
    )


def consume(
    connection: Connection, organisation: int, unit: Unit, period: datetime, charges: Sequence[Charge]
) -> dict[int, int]:
    """Write charges into the ledger and add them to the balance; the entry of each learner charged.

    One constraint decides that nothing is consumed twice (R26): a charge that exists already is left as it is.
    """
    written = tuples(
        connection,
        query("seats.consume"),
        organisation=organisation,
        unit=unit.value,
        period=period,
        learners=[c.learner for c in charges],
        courses=[c.course for c in charges],
        cycles=[c.cycle for c in charges],
        amounts=[c.amount for c in charges],
        overdrawns=[c.overdrawn for c in charges],
        times=[c.occurred_at for c in charges],
        events=[c.event for c in charges],
    )
    return dict(written)


def balance(connection: Connection, organisation: Organisation) -> Balance:
    """How the pool stands in this period, summed from the ledger itself."""
    return the_one(
        connection,
        Balance,
        query("seats.balance"),
        organisation=organisation.organisation,
        **charging(organisation),
        pool=organisation.pool,
    )
