"""A file on its way into the tables, as SQL on sets: from the copy on, its lines lie in temporary tables of one session
and never pass through Python."""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from psycopg import sql
from sqlalchemy import Connection

from config.database import column, execute, rows, value
from tasks.imports.reader import Batch
from tasks.imports.rules import ADDRESS, INACTIVE, LONGEST, Field, PreviousStatus, Refusal, Refused
from tasks.learners import Change, Standing

#: Memory of PostgreSQL for sorting a whole file; what does not fit goes through the disk.
SORT_MEMORY = "64MB"

#: What COPY's text format escapes in a cell.
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})

#: For the sake of these a batch is looked at cell by cell: what is escaped, NUL, and space (the last is U+3000) that
#: may lie around a cell.
_ODD = ["\\", "\r", "\0", *(each for each in map(chr, range(0x3001)) if each.isspace() and each not in " \t\r\n")]

#: A space at the beginning or the end of a cell that is copied; one that begins with a literal is found fast.
_PADDED = re.compile(r" (?:[\t\n]|(?<=[\t\n] ))")


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
class Judged:
    """How many lines are refused for a reason, or, where there is none, taken; how many of them say inactive,
    how many are of learners who were known, and whether the id of each is greater than that of the line before."""

    reason: str | None
    n: int
    inactive: int
    known: int
    ascending: bool


@dataclass(frozen=True, slots=True)
class Described:
    """A learner with a number of whom a line says something new; `said`: their status, too."""

    learner: int
    id: str
    time: datetime
    said: bool
    before: str
    after: str
    username: str | None
    email: str | None

    @property
    def change(self) -> Change:
        """How they stood, and stand now."""
        return Change(self.learner, self.id, Standing(self.before), Standing(self.after), self.username, self.email)


#: A file's lines as they are copied. Each is judged on its way in, while the client is busy reading the next ones.
_LINES = """
CREATE TEMP TABLE import_lines (
    line int NOT NULL, unreadable text, detail text, learner text, username text, email text, first_name text,
    last_name text, locale text, time_zone text, status text,
    active boolean GENERATED ALWAYS AS (status = {usual} OR lower(status COLLATE "C") <> ALL ({inactive})) STORED,
    reason text GENERATED ALWAYS AS (CASE
        WHEN unreadable IS NOT NULL THEN unreadable
        WHEN learner IS NULL THEN {no_id}
        WHEN octet_length(learner) > {learner} AND length(learner) > {learner}
          OR octet_length(username) > {username} AND length(username) > {username}
          OR octet_length(email) > {email} AND length(email) > {email}
          OR octet_length(first_name) > {first_name} AND length(first_name) > {first_name}
          OR octet_length(last_name) > {last_name} AND length(last_name) > {last_name}
          OR octet_length(locale) > {locale} AND length(locale) > {locale}
          OR octet_length(time_zone) > {time_zone} AND length(time_zone) > {time_zone} THEN {too_long}
        WHEN username IS NULL AND email IS NULL THEN {no_sign_in}
        WHEN email !~ {address} THEN {bad_email}
        WHEN {with_status} AND status IS DISTINCT FROM {usual}
             AND lower(coalesce(status, '') COLLATE "C") <> ALL ({statuses}) THEN {unknown_status}
    END) STORED
)
"""


def stage(connection: Connection, fields: Sequence[Field], batches: Iterable[Batch]) -> None:
    """Copy the lines of a file into a temporary table, which says of each why it is refused, if it is, and what its
    status means (R2)."""
    constants: dict[str, object] = {
        **LONGEST,
        "address": ADDRESS,
        "with_status": Field.STATUS in fields,
        "statuses": list(PreviousStatus),
        "inactive": list(INACTIVE),
        "usual": PreviousStatus.ACTIVE.capitalize(),  # as most are: found without looking at its case
        **{refusal.name.lower(): refusal for refusal in Refusal},
    }
    columns = sql.SQL(", ").join(map(sql.Identifier, fields))
    statement = sql.SQL("COPY import_lines (line, unreadable, detail, {}) FROM STDIN (NULL '')").format(columns)
    cursor = connection.connection.cursor()
    cursor.execute(sql.SQL(_LINES).format(**{name: sql.Literal(value) for name, value in constants.items()}))
    with cursor.copy(statement) as copy:
        for batch in batches:
            copy.write(_as_text(batch, len(fields)))


def _as_text(batch: Batch, width: int) -> str:
    """A batch in COPY's text format. Few cells are to be stripped or escaped: whether any is, is seen by looking at all
    at once."""
    plain = "".join([f"{line}\t\t\t" + "\t".join(cells) + "\n" for line, cells in batch.read])
    expected = (len(batch.read) * (width + 2), len(batch.read))
    found = (plain.count("\t"), plain.count("\n"))
    if found != expected or any(each in plain for each in _ODD) or _PADDED.search(plain):
        plain = "".join(_escaped(line, cells) for line, cells in batch.lines)
    return plain + "".join(_refused(refused, width) for refused in batch.refused)


def _escaped(line: int, cells: Sequence[str]) -> str:
    if any("\0" in cell for cell in cells):  # PostgreSQL stores every character but this one
        return _refused(Refused(line, Refusal.NUL, ""), len(cells))
    return f"{line}\t\t\t" + "\t".join(cell.translate(_ESCAPES) for cell in cells) + "\n"


def _refused(refused: Refused, width: int) -> str:
    return f"{refused.line}\t{refused.reason}\t{refused.detail.translate(_ESCAPES)}" + "\t" * width + "\n"


def arrange(connection: Connection, organisation: int) -> None:
    """Match the lines with the learners who are known, and put them in the order of
    their ids, in which the table of learners is written most quickly; but those who may become active again come
    first, to be handled together (S8)."""
    execute(connection, "SELECT set_config('work_mem', :memory, true)", memory=SORT_MEMORY)
    execute(
        connection,
        """
        CREATE TEMP TABLE import_rows AS
        SELECT r.line, r.learner AS id, r.username, r.email, r.first_name, r.last_name, r.locale, r.time_zone, r.active,
               r.reason, CASE r.reason
                   WHEN :too_long THEN (
                       SELECT string_agg(field || ': at most ' || most || ' characters', ', ')
                       FROM (VALUES ('learner', r.learner, :learner), ('username', r.username, :username),
                                    ('email', r.email, :email), ('first_name', r.first_name, :first_name),
                                    ('last_name', r.last_name, :last_name), ('locale', r.locale, :locale),
                                    ('time_zone', r.time_zone, :time_zone)) AS cells (field, cell, most)
                       WHERE length(cell) > most)
                   WHEN :unknown_status THEN left(coalesce(r.status, 'it is empty'), 100)
                   ELSE r.detail
               END AS detail, l.learner
        FROM import_lines r LEFT JOIN learners l ON l.organisation = :organisation AND l.id = r.learner
        ORDER BY CASE WHEN l.standing = 'inactive' AND r.active THEN ' ' || r.learner ELSE r.learner END COLLATE "C"
        """,
        organisation=organisation,
        too_long=Refusal.TOO_LONG,
        unknown_status=Refusal.UNKNOWN_STATUS,
        **LONGEST,
    )
    execute(connection, "DROP TABLE import_lines")


def judged(connection: Connection) -> list[Judged]:
    """How many lines are taken, and how many refused, by reason; those that repeat an id among them. Where each id is
    greater than the one before it none is repeated, which is seen in half the time that it takes to look for them."""
    found = _counted(connection)
    if all(each.ascending for each in found):
        return found
    execute(
        connection,
        """
        UPDATE import_rows r SET reason = :repeated, detail = 'as on line ' || first.line
        FROM (SELECT id, min(line) AS line FROM import_rows WHERE reason IS NULL GROUP BY id HAVING count(*) > 1) first
        WHERE r.id = first.id AND r.line > first.line AND r.reason IS NULL
        """,
        repeated=Refusal.REPEATED,
    )
    return _counted(connection)


def _counted(connection: Connection) -> list[Judged]:
    return rows(
        connection,
        Judged,
        """
        SELECT reason, count(*) AS n, count(*) FILTER (WHERE NOT active) AS inactive, count(learner) AS known,
               coalesce(bool_and(id COLLATE "C" > before), true) AS ascending
        FROM (SELECT reason, active, learner, id, lag(id) OVER () AS before FROM import_rows) lines
        GROUP BY reason ORDER BY reason
        """,
    )


def refused_lines(connection: Connection) -> Iterator[bytes]:
    """The lines that are refused and why, as a CSV file that is safe to open in a spreadsheet."""
    statement = """
        COPY (SELECT line, spreadsheet_safe(left(id, 200)) AS learner, reason, spreadsheet_safe(detail) AS detail
              FROM import_rows WHERE reason IS NOT NULL ORDER BY line) TO STDOUT (FORMAT csv, HEADER)
    """
    with connection.connection.cursor().copy(statement) as copy:
        for piece in copy:
            yield bytes(piece)


def pages(connection: Connection) -> int:
    """How many pages the judged lines lie on."""
    return int(
        value(connection, "SELECT pg_relation_size('import_rows') / CAST(current_setting('block_size') AS int)") or 0
    )


def describe_known(
    connection: Connection, organisation: int, part: Slice, fields: Sequence[Field], now: datetime
) -> list[Described]:
    """Write what a slice says anew of learners who have a number: as an event of this moment would, or, where a clock
    elsewhere was ahead, of the moment after the newest that is known (S1). So it is the newest, and decides how they
    stand. What it has no column for stays as it is."""
    with _planned_by_number(connection):
        return rows(
            connection,
            Described,
            """
            WITH touched AS MATERIALIZED (
                SELECT l.learner, l.id, l.version, r.active, new.*, l.standing AS before, CAST(CASE
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
                JOIN learners l ON l.organisation = :organisation AND l.learner = coalesce(r.learner, CASE
                    WHEN :moved THEN (SELECT came.learner FROM learners came
                                      WHERE came.organisation = :organisation AND came.id = r.id) END)
                CROSS JOIN LATERAL (SELECT
                    CASE WHEN :username THEN r.username ELSE l.username END AS username,
                    CASE WHEN :email THEN r.email ELSE l.email END AS email,
                    CASE WHEN :first_name THEN r.first_name ELSE l.first_name END AS first_name,
                    CASE WHEN :last_name THEN r.last_name ELSE l.last_name END AS last_name,
                    CASE WHEN :locale THEN r.locale ELSE l.locale END AS locale,
                    CASE WHEN :time_zone THEN r.time_zone ELSE l.time_zone END AS time_zone) new
                WHERE r.ctid >= CAST(:low AS tid) AND r.ctid < CAST(:high AS tid) AND r.reason IS NULL
                  AND (r.learner IS NOT NULL OR :moved)
                  AND (l.standing NOT IN ('active', 'inactive') OR r.active <> (l.standing = 'active')
                       OR (new.username, new.email, new.first_name, new.last_name, new.locale, new.time_zone)
                          IS DISTINCT FROM
                          (l.username, l.email, l.first_name, l.last_name, l.locale, l.time_zone))
            ), described AS (
                UPDATE learners l SET username = new.username, email = new.email, first_name = new.first_name,
                    last_name = new.last_name, locale = new.locale, time_zone = new.time_zone,
                    saved_version = new.version, saved_at = new.time, standing = new.after
                FROM touched new WHERE l.organisation = :organisation AND l.learner = new.learner
            ), recorded AS (
                INSERT INTO status_changes (organisation, learner, version, occurred_at, active, cause)
                SELECT :organisation, learner, version, time, active, 'import' FROM touched WHERE active IS NOT NULL
            )
            SELECT learner, id, time, active IS NOT NULL AS said, before, after, username, email
            FROM touched ORDER BY learner
            """,
            organisation=organisation,
            now=now,
            **part.scope,
            **{field.value: field in fields for field in Field},
        )


def add_new(connection: Connection, organisation: int, part: Slice, known: int, now: datetime) -> int:
    """Add the learners of a slice who are not known, numbered from `known` on, and the beginning of their history; how
    many. Under the organisation's lock: numbers are dense, given out once."""
    added = execute(
        connection,
        """
        INSERT INTO learners (organisation, learner, id, standing, version, saved_version, saved_at, username, email,
                              first_name, last_name, locale, time_zone)
        SELECT :organisation, :known + row_number() OVER (), r.id,
               CASE WHEN r.active IS FALSE THEN CAST('inactive' AS standing) ELSE CAST('active' AS standing) END,
               0, 0, :now,
               r.username, r.email, r.first_name, r.last_name, r.locale, r.time_zone
        FROM import_rows r
        WHERE r.ctid >= CAST(:low AS tid) AND r.ctid < CAST(:high AS tid) AND r.reason IS NULL AND r.learner IS NULL
          AND NOT (:moved AND EXISTS (SELECT FROM learners came
                                      WHERE came.organisation = :organisation AND came.id = r.id))
        """,
        organisation=organisation,
        known=known,
        now=now,
        **part.scope,
    )
    execute(
        connection,
        "UPDATE organisations SET learners = learners + :added WHERE organisation = :organisation",
        organisation=organisation,
        added=added,
    )
    return added


def begin_history(connection: Connection, organisation: int, low: int, high: int) -> None:
    """Write the status with which these new learners were imported as the beginning of their history."""
    execute(
        connection,
        """
        INSERT INTO status_changes (organisation, learner, version, occurred_at, active, cause)
        SELECT organisation, learner, version, saved_at, standing = 'active', 'import' FROM learners
        WHERE organisation = :organisation AND learner BETWEEN :low AND :high
        """,
        organisation=organisation,
        low=low,
        high=high,
    )


def awaited(connection: Connection, organisation: int, part: Slice) -> set[str]:
    """What events wait for, of the learners of a slice (R6)."""
    prefix = f"learner:{organisation}:"
    if not value(connection, "SELECT EXISTS (SELECT FROM inbox WHERE waits_for LIKE :any)", any=f"{prefix}%"):
        return set()
    return set(
        column(
            connection,
            """
            SELECT DISTINCT i.waits_for FROM import_rows r JOIN inbox i ON i.waits_for = :prefix || r.id
            WHERE r.ctid >= CAST(:low AS tid) AND r.ctid < CAST(:high AS tid) AND r.reason IS NULL
            """,
            prefix=prefix,
            low=part.scope["low"],
            high=part.scope["high"],
        )
    )


@contextmanager
def _planned_by_number(connection: Connection) -> Iterator[None]:
    """Keep the planner, within the block, from reading all there is for each slice: it has no statistics of what was
    imported just now."""
    setting = "SELECT set_config('enable_hashjoin', :set, true), set_config('enable_mergejoin', :set, true)"
    execute(connection, setting, set="off")
    yield
    execute(connection, setting, set="on")
