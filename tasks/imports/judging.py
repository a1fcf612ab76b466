"""A file's lines in a temporary table of one session, judged as a set: what is refused, and what the rest would do."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from psycopg import sql
from sqlalchemy import Connection

from config.database import execute, integer, is_true, rows, the_one, tuples
from config.sql import query
from tasks.imports.rules import LONGEST, Field, Refusal
from tasks.mail import ADDRESS, LONGEST_ADDRESS

#: In place of a reason: a line that is not taken because an earlier one says the same.
AGAIN = "again"

#: Memory of PostgreSQL for sorting a whole file; what does not fit goes through the disk.
SORT_MEMORY = "256MB"


@dataclass(frozen=True, slots=True)
class LineCounts:
    """How many lines are refused for a reason, or, where there is none, taken; how many of them say inactive,
    how many are of learners who were known, and whether the id of each is greater than that of the line before;
    how many name a time zone that nobody knows."""

    reason: str | None
    n: int
    inactive: int
    known: int
    ascending: bool
    odd_zones: int


@dataclass(frozen=True, slots=True)
class Emptied:
    """Of how many learners who are known a file empties what is known: its cell is empty."""

    username: int
    email: int
    first_name: int
    last_name: int
    locale: int
    time_zone: int


#: A file's lines as they are copied. Each is judged on its way in, while the client is busy reading the next ones.
_LINES = """
CREATE TEMP TABLE import_lines (
    line int NOT NULL, unreadable text, detail text, active boolean, odd_status text, time_zone text, odd_zone text,
    learner text, username text, email text, first_name text, last_name text, locale text,
    reason text GENERATED ALWAYS AS (CASE
        WHEN unreadable IS NOT NULL THEN unreadable
        WHEN learner IS NULL THEN {no_id}
        WHEN octet_length(learner) > {learner} AND length(learner) > {learner}
          OR octet_length(username) > {username} AND length(username) > {username}
          OR octet_length(email) > {email} AND length(email) > {email}
          OR octet_length(first_name) > {first_name} AND length(first_name) > {first_name}
          OR octet_length(last_name) > {last_name} AND length(last_name) > {last_name}
          OR octet_length(locale) > {locale} AND length(locale) > {locale} THEN {too_long}
        WHEN username IS NULL AND email IS NULL THEN {no_sign_in}
        WHEN email !~ {address} OR octet_length(email) > {longest_address} THEN {bad_email}
        WHEN {with_status} AND active IS NULL THEN {unknown_status}
    END) STORED
)
"""


def stage(connection: Connection, fields: Sequence[Field], texts: Sequence[Field], copied: Iterable[str]) -> None:
    """Copy the lines of a file into a temporary table, which says of each why it is refused, if it is."""
    constants: dict[str, object] = {
        **LONGEST,
        "address": f"^(?:{ADDRESS})$",
        "longest_address": LONGEST_ADDRESS,
        "with_status": Field.STATUS in fields,
        **{refusal.name.lower(): refusal for refusal in Refusal},
    }
    columns = sql.SQL(", ").join(map(sql.Identifier, texts))
    statement = sql.SQL(
        "COPY import_lines (line, unreadable, detail, active, odd_status, time_zone, odd_zone, {})"
        " FROM STDIN (NULL '', FREEZE)"  # nobody else sees the table, and who reads it writes no page of it again
    ).format(columns)
    cursor = connection.connection.cursor()
    cursor.execute(sql.SQL(_LINES).format(**{name: sql.Literal(value) for name, value in constants.items()}))
    with cursor.copy(statement) as copy:
        for text in copied:
            copy.write(text)


def arrange(connection: Connection, organisation: int, fields: Sequence[Field], *, keep_empty: bool) -> None:
    """Match the lines with the learners who are known, and put them in the order of
    their ids, in which the table of learners is written most quickly; but those who may become active again come
    first, to be handled together (S8). `keep_empty`: what is known does for a cell that is empty."""
    execute(connection, "SELECT set_config('work_mem', :memory, true)", memory=SORT_MEMORY)
    execute(
        connection,
        """
        CREATE TEMP TABLE import_rows AS
        SELECT r.line, r.learner AS id, r.username, r.email, r.first_name, r.last_name, r.locale, r.time_zone,
               r.odd_zone, r.active,
               CASE WHEN r.reason = :no_sign_in AND :keep_empty AND coalesce(l.username, l.email) IS NOT NULL THEN NULL
                    ELSE r.reason END AS reason,
               CASE r.reason
                   WHEN :too_long THEN (
                       SELECT string_agg(field || ': at most ' || most || ' characters', ', ')
                       FROM (VALUES ('learner', r.learner, :learner), ('username', r.username, :username),
                                    ('email', r.email, :email), ('first_name', r.first_name, :first_name),
                                    ('last_name', r.last_name, :last_name), ('locale', r.locale, :locale)
                            ) AS cells (field, cell, most)
                       WHERE length(cell) > most)
                   WHEN :unknown_status THEN r.odd_status
                   ELSE r.detail
               END AS detail, l.learner, l.standing,
               CASE WHEN l.standing IN ('active', 'inactive') THEN ARRAY[
                   :has_username AND r.username IS NULL AND l.username IS NOT NULL,
                   :has_email AND r.email IS NULL AND l.email IS NOT NULL,
                   :has_first_name AND r.first_name IS NULL AND l.first_name IS NOT NULL,
                   :has_last_name AND r.last_name IS NULL AND l.last_name IS NOT NULL,
                   :has_locale AND r.locale IS NULL AND l.locale IS NOT NULL,
                   :has_time_zone AND r.time_zone IS NULL AND r.odd_zone IS NULL AND l.time_zone IS NOT NULL
               ] END AS emptied
        FROM import_lines r LEFT JOIN learners l ON l.organisation = :organisation AND l.id = r.learner
        ORDER BY CASE WHEN l.standing = 'inactive' AND r.active THEN ' ' || r.learner ELSE r.learner END COLLATE "C"
        """,
        organisation=organisation,
        keep_empty=keep_empty,
        too_long=Refusal.TOO_LONG,
        no_sign_in=Refusal.NO_SIGN_IN,
        unknown_status=Refusal.UNKNOWN_STATUS,
        **LONGEST,
        **{f"has_{field}": field in fields for field in Field},
    )
    execute(connection, "DROP TABLE import_lines")
    # Newcomers are numbered by it: a window would copy each row, which is wide, once more.
    execute(connection, "CREATE TEMP SEQUENCE import_numbers CACHE 1000")


def judged(connection: Connection, *, ours: bool) -> list[LineCounts]:
    """How many lines are taken, and how many refused, by reason; those that repeat an id among them. Where each id is
    greater than the one before it none is repeated, which is seen in half the time that it takes to look for them.

    `ours`: the file is our own export, with a line for each enrolment; a line that says the same again is no mistake.
    """
    found = _counted(connection)
    if all(each.ascending for each in found):
        return found
    execute(
        connection,
        """
        UPDATE import_rows r SET active = false
        FROM (SELECT id FROM import_rows WHERE id IS NOT NULL GROUP BY id
              HAVING count(*) > 1 AND bool_or(active IS FALSE)) gone
        WHERE r.id = gone.id AND r.active
        """,
    )
    execute(
        connection,
        """
        UPDATE import_rows r SET reason = CASE WHEN :ours AND
                (r.username, r.email, r.active) IS NOT DISTINCT FROM (first.username, first.email, first.active)
            THEN :again ELSE :repeated END, detail = 'as on line ' || first.line
        FROM (SELECT DISTINCT ON (id) id, line, username, email, active, count(*) OVER (PARTITION BY id) AS n
              FROM import_rows WHERE reason IS NULL ORDER BY id, line) first
        WHERE first.n > 1 AND r.id = first.id AND r.line > first.line AND r.reason IS NULL
        """,
        ours=ours,
        again=AGAIN,
        repeated=Refusal.REPEATED,
    )
    return _counted(connection)


def _counted(connection: Connection) -> list[LineCounts]:
    return rows(
        connection,
        LineCounts,
        """
        SELECT reason, count(*) AS n, count(*) FILTER (WHERE NOT active) AS inactive, count(learner) AS known,
               coalesce(bool_and(id COLLATE "C" > before), true) AS ascending, count(odd_zone) AS odd_zones
        FROM (SELECT reason, active, learner, id, odd_zone, lag(id) OVER () AS before FROM import_rows) lines
        GROUP BY reason ORDER BY reason
        """,
    )


def known_unread(connection: Connection) -> int:
    """How many learners who are active have a line that cannot be split into its cells, and stay active."""
    return integer(
        connection,
        """
        SELECT count(DISTINCT learner) FROM import_rows
        WHERE reason IN (:cells, :quotes) AND standing = 'active' AND active IS NOT FALSE
        """,
        cells=Refusal.CELLS,
        quotes=Refusal.QUOTES,
    )


def odd_zones(connection: Connection, most: int) -> dict[str, int]:
    """What stands for a time zone in lines that are taken and is none, those of most lines first."""
    found = tuples(
        connection,
        """
        SELECT odd_zone, count(*) FROM import_rows WHERE odd_zone IS NOT NULL AND reason IS NULL
        GROUP BY odd_zone ORDER BY count(*) DESC, odd_zone LIMIT :most
        """,
        most=most,
    )
    return dict(found)


def odd_statuses(connection: Connection, most: int) -> dict[str, int]:
    """What stands for a status in lines that are refused, and is none that we know; those of most lines first."""
    found = tuples(
        connection,
        """
        SELECT detail, count(*) FROM import_rows WHERE reason = :unknown_status AND detail IS NOT NULL
        GROUP BY detail ORDER BY count(*) DESC, detail LIMIT :most
        """,
        unknown_status=Refusal.UNKNOWN_STATUS,
        most=most,
    )
    return dict(found)


def emptied(connection: Connection) -> Emptied:
    """What the lines that are taken would empty of what is known."""
    return the_one(
        connection,
        Emptied,
        """
        SELECT count(*) FILTER (WHERE emptied[1]) AS username, count(*) FILTER (WHERE emptied[2]) AS email,
               count(*) FILTER (WHERE emptied[3]) AS first_name, count(*) FILTER (WHERE emptied[4]) AS last_name,
               count(*) FILTER (WHERE emptied[5]) AS locale, count(*) FILTER (WHERE emptied[6]) AS time_zone
        FROM import_rows WHERE reason IS NULL
        """,
    )


def notices(connection: Connection, organisation: int, *, notify: bool, digests: bool) -> int:
    """How many would be told by mail of what they are enrolled in, where they are to be told, or, where there are
    `digests`, have access to again: learners who are new, or active again, and whom mail may be sent to."""
    ruled = (
        "SELECT EXISTS (SELECT FROM courses WHERE organisation = :organisation AND NOT on_hold AND method <> 'manual')"
    )
    if not digests and not is_true(connection, ruled, organisation=organisation):
        return 0
    return integer(
        connection,
        query("imports.notices_of_import"),
        organisation=organisation,
        notify=notify,
        digests=digests,
    )


def refused_lines(connection: Connection) -> Iterator[tuple[int, str, str]]:
    """The lines that are refused, in their order, and why."""
    statement = """
        COPY (SELECT line, reason, coalesce(detail, '') FROM import_rows
              WHERE reason IS NOT NULL AND reason <> {again} ORDER BY line) TO STDOUT
    """
    with connection.connection.cursor().copy(sql.SQL(statement).format(again=sql.Literal(AGAIN))) as copy:
        for line, reason, detail in copy.rows():
            yield int(line), reason, detail


def pages(connection: Connection) -> int:
    """How many pages the judged lines lie on."""
    return integer(connection, "SELECT pg_relation_size('import_rows') / CAST(current_setting('block_size') AS int)")
