"""Course starts, completions and the ledger, as SQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection

from config.database import execute, later, rows, value
from tasks.organisations import Organisation
from tasks.seats.rules import Facts, Place, Unit, period_of, unit_of


@dataclass(frozen=True, slots=True)
class Start:
    """A start that counts, as it is written down; `simple` unless it may change when the enrolment stood."""

    learner: int
    course: int
    cycle: int
    time: datetime
    simple: bool = True


@dataclass(frozen=True, slots=True)
class Charge:
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


def facts(connection: Connection, organisation: Organisation, places: Sequence[Place], lead: timedelta) -> list[Facts]:
    """What is known of each of these places, in their order. A start may be `lead` ahead of its enrolment (S12).

    The status at that time is `status_at` written out: a call for each costs as much as all the rest. What may be there
    is joined sideways, up to the first: of EXISTS the planner may make a hash of the whole ledger.
    """
    return rows(
        connection,
        Facts,
        """
        SELECT CAST(p.n AS int) AS n, l.learner, c.course, c.cost, c.on_hold,
               l.learner IS NOT NULL AND coalesce(past.active, true) AS active_then, life.ends IS NOT NULL AS ended,
               CASE WHEN e.enrolled_at < coalesce(life.ends, 'infinity') THEN e.enrolled_at END AS enrolled_at,
               e.started_at, e.withdrawn_at, e.withdrawn_by, coalesce(stood.before, false) AS stood_before,
               coalesce(paid.before, false) AS charged
        FROM (SELECT CAST(:organisation AS int) AS organisation, given.*
              FROM unnest(CAST(:learners AS text[]), CAST(:courses AS text[]), CAST(:cycles AS int[]),
                          CAST(:times AS timestamptz[])) WITH ORDINALITY AS given (learner, course, cycle, time, n)
              OFFSET 0) p
        LEFT JOIN learners l ON l.organisation = p.organisation AND l.id = p.learner
            AND (l.standing IN ('active', 'inactive') OR l.standing = 'deleted' AND p.time < l.deleted_at)
        LEFT JOIN LATERAL (
            SELECT min(d.occurred_at) FILTER (WHERE d.occurred_at > p.time) AS ends,
                   max(d.occurred_at) FILTER (WHERE d.occurred_at < p.time) AS began
            FROM deletions d WHERE d.organisation = p.organisation AND d.learner = l.learner) life
            ON l.deleted_at IS NOT NULL
        LEFT JOIN LATERAL (
            SELECT s.active FROM status_changes s
            WHERE s.organisation = p.organisation AND s.learner = l.learner AND s.occurred_at <= p.time
              AND s.occurred_at > coalesce(life.began, '-infinity')
            ORDER BY s.version DESC, s.occurred_at DESC LIMIT 1) past ON true
        LEFT JOIN courses c ON c.organisation = p.organisation AND c.id = p.course
        LEFT JOIN enrolments e ON e.organisation = p.organisation AND e.course = c.course AND e.cycle = p.cycle
            AND e.learner = l.learner
        LEFT JOIN LATERAL (
            SELECT true AS before FROM stints b
            WHERE b.organisation = p.organisation AND b.course = c.course AND b.cycle = p.cycle
              AND b.learner = l.learner AND b.enrolled_at <= p.time + CAST(:lead AS interval)
              AND b.enrolled_at < coalesce(life.ends, 'infinity') AND b.withdrawn_at > p.time LIMIT 1) stood ON true
        LEFT JOIN LATERAL (
            SELECT true AS before FROM consumptions s
            WHERE :unit = 'seat' AND s.organisation = p.organisation AND s.learner = l.learner AND s.unit = 'seat'
              AND (s.period = :period OR s.occurred_at >= :period
                   AND s.occurred_at < coalesce(CAST(:ends AS timestamptz), 'infinity'))
            UNION ALL
            SELECT true FROM consumptions s
            WHERE :unit = 'credit' AND s.organisation = p.organisation AND s.learner = l.learner
              AND s.course = c.course AND s.cycle = p.cycle AND s.unit = 'credit'
            LIMIT 1) paid ON true
        ORDER BY p.n
        """,
        organisation=organisation.organisation,
        unit=unit_of(organisation).value,
        period=period_of(organisation),
        ends=organisation.licence_ends,
        lead=lead,
        learners=[p.learner for p in places],
        courses=[p.course for p in places],
        cycles=[p.cycle for p in places],
        times=[p.time for p in places],
    )


def record_starts(connection: Connection, organisation: int, starts: Sequence[Start], *, released: bool) -> None:
    """Keep the earliest start of each enrolment, of those that change nothing else, and every start (R28)."""
    if not starts:
        return
    later(
        connection,
        """
        WITH new AS (
            SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:learners AS int[])) AS learner,
                   unnest(CAST(:courses AS int[])) AS course, unnest(CAST(:cycles AS int[])) AS cycle,
                   unnest(CAST(:times AS timestamptz[])) AS time, unnest(CAST(:simple AS boolean[])) AS simple
        ), kept AS (
            INSERT INTO starts AS known (organisation, learner, course, cycle, occurred_at, released)
            SELECT organisation, learner, course, cycle, time, :released FROM new
            ON CONFLICT (organisation, learner, course, cycle, occurred_at)
            DO UPDATE SET released = true WHERE excluded.released
        )
        UPDATE enrolments e SET started_at = least(e.started_at, new.time),
            activated_at = coalesce(e.activated_at, new.time)
        FROM new
        WHERE new.simple AND e.organisation = new.organisation AND e.course = new.course AND e.cycle = new.cycle
          AND e.learner = new.learner
        """,
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
        UPDATE enrolments e SET completed_at = new.time, result = new.result, score = new.score
        FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:learners AS int[])) AS learner,
                     unnest(CAST(:courses AS int[])) AS course, unnest(CAST(:cycles AS int[])) AS cycle,
                     unnest(CAST(:times AS timestamptz[])) AS time,
                     unnest(CAST(:results AS text[])) AS result, unnest(CAST(:scores AS float8[])) AS score) new
        WHERE e.organisation = new.organisation AND e.course = new.course AND e.cycle = new.cycle
          AND e.learner = new.learner AND (
              e.completed_at IS NULL OR e.completed_at < new.time
              OR e.completed_at = new.time AND (coalesce(e.result, '') COLLATE "C", coalesce(e.score, -1))
                                             < (coalesce(new.result, '') COLLATE "C", coalesce(new.score, -1)))
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
    return int(
        value(
            connection,
            """
            INSERT INTO balances AS known (organisation, unit, period, used, pool, ends, through)
            SELECT :organisation, :unit, :period, coalesce(sum(amount), 0), :pool, :ends, coalesce((
                SELECT max(last.consumption) FROM consumptions last WHERE last.organisation = :organisation), 0)
            FROM consumptions
            WHERE organisation = :organisation AND unit = :unit
              AND (period = :period OR occurred_at >= :period
                   AND occurred_at < coalesce(CAST(:ends AS timestamptz), 'infinity'))
              AND NOT EXISTS (
                  SELECT FROM balances WHERE organisation = :organisation AND unit = :unit AND period = :period)
            ON CONFLICT (organisation, unit, period) DO UPDATE SET used = known.used RETURNING used
            """,
            organisation=organisation.organisation,
            unit=unit_of(organisation).value,
            period=period_of(organisation),
            ends=organisation.licence_ends,
            pool=organisation.pool,
        )
    )


def consume(
    connection: Connection, organisation: int, unit: Unit, period: datetime, charges: Sequence[Charge]
) -> dict[int, int]:
    """Write charges into the ledger and add them to the balance; the entry of each learner charged.

    One constraint decides that nothing is consumed twice (R26): a charge that exists already is left as it is.
    """
    written = rows(
        connection,
        _Written,
        """
        WITH written AS (
            INSERT INTO consumptions (organisation, learner, course, cycle, unit, amount, period, overdrawn,
                                      occurred_at, event)
            SELECT :organisation, learner, course, cycle, :unit, amount, :period, overdrawn, occurred_at, event
            FROM unnest(CAST(:learners AS int[]), CAST(:courses AS int[]), CAST(:cycles AS int[]),
                        CAST(:amounts AS bigint[]), CAST(:overdrawns AS boolean[]), CAST(:times AS timestamptz[]),
                        CAST(:events AS text[]))
                 WITH ORDINALITY AS new (learner, course, cycle, amount, overdrawn, occurred_at, event, n)
            ORDER BY n
            ON CONFLICT DO NOTHING
            RETURNING learner, consumption, amount
        ), added AS (
            UPDATE balances SET used = used + (SELECT coalesce(sum(amount), 0) FROM written)
            WHERE organisation = :organisation AND unit = :unit AND period = :period
        )
        SELECT learner, consumption FROM written
        """,
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
    return {row.learner: row.consumption for row in written}


class _Written(NamedTuple):
    learner: int
    consumption: int


def balance(connection: Connection, organisation: Organisation) -> Balance:
    """How the pool stands in this period, summed from the ledger itself."""
    return rows(
        connection,
        Balance,
        """
        SELECT CAST(:unit AS text) AS unit, CAST(:pool AS bigint) AS pool,
               CAST(coalesce(sum(amount), 0) AS bigint) AS used, count(*) AS entries,
               count(*) FILTER (WHERE overdrawn) AS overdrawn,
               count(*) FILTER (WHERE EXISTS (
                   SELECT FROM reviews r
                   WHERE r.organisation = c.organisation AND r.consumption = c.consumption AND NOT EXISTS (
                       SELECT FROM settled_reviews d WHERE d.organisation = r.organisation
                         AND d.consumption = r.consumption AND d.code = r.code))) AS review
        FROM consumptions c
        WHERE organisation = :organisation AND unit = :unit
          AND (period = :period OR occurred_at >= :period
               AND occurred_at < coalesce(CAST(:ends AS timestamptz), 'infinity'))
        """,
        organisation=organisation.organisation,
        unit=unit_of(organisation).value,
        period=period_of(organisation),
        ends=organisation.licence_ends,
        pool=organisation.pool,
    )[0]
