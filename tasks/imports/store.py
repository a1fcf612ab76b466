"""Judged lines on their way into the tables, as SQL on sets: they never pass through Python."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from config.database import column, execute, is_true, rows
from tasks import organisations
from tasks.events import Awaited
from tasks.imports.judging import AGAIN
from tasks.imports.rules import Field
from tasks.learners import ADD_DESCRIBED, DESCRIBE, RECORD_STATUSES, Change, Standing


@dataclass(frozen=True, slots=True)
class Slice:
    """A stretch of the judged lines, by the pages on which they lie. `known`: some may be about learners who have a
    number. `moved`: learners came since they were matched."""

    low: int
    high: int
    known: bool
    moved: bool

    @property
    def scope(self) -> dict[str, object]:
        """The parameters that queries about a slice have in common."""
        return {"low": f"({self.low},0)", "high": f"({self.high},0)", "moved": self.moved}


@dataclass(frozen=True, slots=True)
class Described:
    """A learner with a number of whom a line says something new; `said`: their status, too. `refused`: the line is
    refused but for its saying that they are inactive."""

    learner: int
    id: str
    time: datetime
    said: bool
    refused: bool
    before: str
    after: str
    username: str | None
    email: str | None

    @property
    def change(self) -> Change:
        """How they stood, and stand now."""
        return Change(self.learner, self.id, Standing(self.before), Standing(self.after), self.username, self.email)


def uncomposed(connection: Connection, organisation: int) -> list[str]:
    """The ids of learners whom events called so, with accents written as characters of their own, unless another is
    called the same without: an event's id is what the platform says, and a file's is composed."""
    return column(
        connection,
        """
        SELECT l.id FROM learners l
        WHERE l.organisation = :organisation AND l.id ~ '[^ -~]' AND l.id IS NOT NFC NORMALIZED AND NOT EXISTS (
            SELECT FROM learners other
            WHERE other.organisation = l.organisation AND other.id = normalize(l.id, NFC))
        """,
        organisation=organisation,
    )


def describe_known(
    connection: Connection, organisation: int, part: Slice, fields: Sequence[Field], now: datetime, *, keep_empty: bool
) -> list[Described]:
    """Write what a slice says anew of learners who have a number: as an event of this moment would, or, where a clock
    elsewhere was ahead, of the moment after the newest that is known (S1). So it is the newest, and decides how they
    stand. What it has no column for stays as it is. Of a line that is refused, nothing is taken but that a learner who
    is active is called inactive (R2).

    Each learner is looked up, and written where they lie: of an organisation that its statistics do not know yet, the
    planner believes that it has one learner, and would go through all lines for each of them."""
    with _planned_by_number(connection):
        return rows(
            connection,
            Described,
            f"""
            WITH touched AS MATERIALIZED (
                SELECT DISTINCT ON (l.learner) l.organisation, l.place, l.learner, l.id, l.version, r.active,
                       r.reason IS NOT NULL AS refused, new.*, l.standing AS before, CAST(CASE
                    WHEN r.active OR r.active IS NULL AND l.standing = 'active' THEN 'active'
                    WHEN r.active IS NULL AND l.standing <> 'inactive'
                         AND status_at(l.organisation, l.learner, 'infinity') THEN 'active'
                    ELSE 'inactive'
                END AS standing) AS after, greatest(
                    CAST(:now AS timestamptz), l.saved_at + interval '1 microsecond',
                    (SELECT max(s.occurred_at) + interval '1 microsecond' FROM status_changes s
                     WHERE s.organisation = :organisation AND s.learner = l.learner)
                ) AS time
                FROM import_rows r
                CROSS JOIN (SELECT organisation FROM organisations WHERE organisation = :organisation OFFSET 0) mine
                CROSS JOIN LATERAL (
                    SELECT l.*, l.ctid AS place FROM learners l
                    WHERE l.organisation = mine.organisation AND l.learner = coalesce(r.learner, CASE
                        WHEN :moved THEN (SELECT came.learner FROM learners came
                                          WHERE came.organisation = :organisation AND came.id = r.id) END)
                    OFFSET 0
                ) l
                CROSS JOIN LATERAL (SELECT
                    CASE WHEN NOT :username OR r.reason IS NOT NULL OR :keep_empty AND r.username IS NULL
                         THEN l.username ELSE r.username END AS username,
                    CASE WHEN NOT :email OR r.reason IS NOT NULL OR :keep_empty AND r.email IS NULL
                         THEN l.email ELSE r.email END AS email,
                    CASE WHEN NOT :first_name OR r.reason IS NOT NULL OR :keep_empty AND r.first_name IS NULL
                         THEN l.first_name ELSE r.first_name END AS first_name,
                    CASE WHEN NOT :last_name OR r.reason IS NOT NULL OR :keep_empty AND r.last_name IS NULL
                         THEN l.last_name ELSE r.last_name END AS last_name,
                    CASE WHEN NOT :locale OR r.reason IS NOT NULL OR :keep_empty AND r.locale IS NULL
                         THEN l.locale ELSE r.locale END AS locale,
                    CASE WHEN NOT :time_zone OR r.reason IS NOT NULL OR r.odd_zone IS NOT NULL
                              OR :keep_empty AND r.time_zone IS NULL
                         THEN l.time_zone ELSE r.time_zone END AS time_zone) new
                WHERE r.ctid >= CAST(:low AS tid) AND r.ctid < CAST(:high AS tid)
                  AND (r.reason IS NULL OR r.active IS FALSE AND r.reason <> :again AND l.standing = 'active')
                  AND (r.learner IS NOT NULL OR :moved)
                  AND (l.standing NOT IN ('active', 'inactive') OR r.active <> (l.standing = 'active')
                       OR (new.username, new.email, new.first_name, new.last_name, new.locale, new.time_zone)
                          IS DISTINCT FROM
                          (l.username, l.email, l.first_name, l.last_name, l.locale, l.time_zone))
                ORDER BY l.learner, r.reason NULLS FIRST
            ), described AS (
                {DESCRIBE}
                FROM touched new WHERE l.organisation = new.organisation AND l.ctid = new.place
            ), recorded AS (
                {RECORD_STATUSES}
                SELECT :organisation, learner, version, time, active, 'import' FROM touched WHERE active IS NOT NULL
            )
            SELECT learner, id, time, active IS NOT NULL AS said, refused, before, after, username, email
            FROM touched ORDER BY learner
            """,
            organisation=organisation,
            now=now,
            again=AGAIN,
            keep_empty=keep_empty,
            **part.scope,
            **{field.value: field in fields for field in Field},
        )


def add_new(connection: Connection, organisation: int, part: Slice, known: int, now: datetime) -> int:
    """Add the learners of a slice who are not known, numbered from `known` on, and the beginning of their history; how
    many. Under the organisation's lock: numbers are dense, given out once."""
    execute(connection, "SELECT setval('import_numbers', :known + 1, false)", known=known)
    added = execute(
        connection,
        f"""
        {ADD_DESCRIBED}
        SELECT :organisation, nextval('import_numbers'), r.id,
               CASE WHEN r.active IS FALSE THEN CAST('inactive' AS standing) ELSE CAST('active' AS standing) END,
               0, 0, :now,
               r.username, r.email, r.first_name, r.last_name, r.locale, r.time_zone
        FROM import_rows r
        WHERE r.ctid >= CAST(:low AS tid) AND r.ctid < CAST(:high AS tid) AND r.reason IS NULL AND r.learner IS NULL
          AND NOT (:moved AND EXISTS (SELECT FROM learners came
                                      WHERE came.organisation = :organisation AND came.id = r.id))
        """,
        organisation=organisation,
        now=now,
        **part.scope,
    )
    organisations.number_learners(connection, organisation, added)
    return added


def awaited(connection: Connection, organisation: int, part: Slice) -> set[Awaited]:
    """What events wait for, of the learners of a slice (R6)."""
    waiting = """
        SELECT EXISTS (SELECT FROM inbox WHERE awaits_organisation = :organisation AND awaits = 'learner'
                         AND awaits_id IS NOT NULL)
    """
    if not is_true(connection, waiting, organisation=organisation):
        return set()
    ids = column(
        connection,
        """
        SELECT DISTINCT r.id FROM import_rows r
        JOIN inbox i ON i.awaits_organisation = :organisation AND i.awaits = 'learner' AND i.awaits_id = r.id
        WHERE r.ctid >= CAST(:low AS tid) AND r.ctid < CAST(:high AS tid) AND r.reason IS NULL
        """,
        organisation=organisation,
        **part.scope,
    )
    return {Awaited.saved_learner(organisation, id_) for id_ in ids}


@contextmanager
def _planned_by_number(connection: Connection) -> Iterator[None]:
    """Keep the planner, within the block, from reading all there is for each slice: it has no statistics of what was
    imported just now."""
    setting = "SELECT set_config('enable_hashjoin', :set, true), set_config('enable_mergejoin', :set, true)"
    execute(connection, setting, set="off")
    yield
    execute(connection, setting, set="on")
