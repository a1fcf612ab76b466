"""What is kept of learners who were erased, as SQL."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from config.database import execute, is_true, rows, value
from config.sql import query
from tasks import events, work
from tasks.erasure.rules import Erased, Needles

#: Who gives up an event that is about somebody who was erased, and why.
BY, WHY = "rollcall", "the learner was erased"

#: Learners looked for at once: what is known of them is kept in memory.
MOST = 10_000


def begin(connection: Connection, organisation: int, deleted: Sequence[tuple[str, datetime]]) -> None:
    """Write down who is erased, before they are, and by what to know them; and that every place is to be looked at.

    `deleted`: ids, and when the deletion happened; nobody need have saved them.
    """
    execute(
        connection,
        query("erasure.begin"),
        organisation=organisation,
        ids=[id_ for id_, _ in deleted],
        untils=[until for _, until in deleted],
    )
    work.add(connection, organisation, "tasks", "learners.erase", 0)


def is_looked_at(connection: Connection, organisation: int, piece: int) -> bool:
    """Whether an earlier piece of work looks at this organisation now: two would look everywhere for the same, and keep
    others from being worked on (R31)."""
    return is_true(
        connection,
        """
        SELECT EXISTS (
            SELECT FROM work
            WHERE organisation = :organisation AND subject = 0 AND actor = 'learners.erase' AND state = 'running'
              AND work < :piece AND due_at > now())
        """,
        organisation=organisation,
        piece=piece,
    )


def to_look_for(connection: Connection, organisation: int, again: timedelta) -> list[Erased]:
    """Who is to be looked for now: for the first time, or `again`, so long after it."""
    return rows(
        connection,
        Erased,
        """
        SELECT erasure, learner, id, until, at, digests, names, looked_at FROM erasures
        WHERE organisation = :organisation AND (looked_at IS NULL OR looked_at <= now() - CAST(:again AS interval))
        ORDER BY erasure LIMIT :most FOR UPDATE
        """,
        organisation=organisation,
        again=again,
        most=MOST,
    )


def forget_unresolved(connection: Connection, id_: str, needles: Needles, after: int) -> int | None:
    """Give up what could not be taken and describes them, or is malformed and names them, and take what names them out
    of the rest: one page of it; the last of it, or None where there is no more. What is of nobody knows which
    organisation is looked at, too."""
    page = events.unresolved_after(connection, id_, after)
    for one in page:
        if needles.name(one.body, id_):
            left = needles.without(one.body)
            if left is None:
                events.resolve(connection, one, "discarded", by=BY, why=WHY)
            else:
                events.rewrite(connection, one.seq, left)
    return page[-1].seq if page else None


def looked_for(connection: Connection, organisation: int, erased: Sequence[Erased], again: timedelta) -> None:
    """Who was looked for once is looked for again, for what was under way; who was looked for twice is forgotten."""
    done = [one.erasure for one in erased if one.looked_at is not None]
    first = [one.erasure for one in erased if one.looked_at is None]
    execute(
        connection,
        """
        WITH done AS (
            DELETE FROM erasures WHERE organisation = :organisation AND erasure = ANY(CAST(:done AS bigint[]))
            RETURNING learner
        )
        DELETE FROM former_addresses f USING done, learners l
        WHERE f.organisation = :organisation AND f.learner = done.learner
          AND l.organisation = :organisation AND l.learner = done.learner AND l.standing = 'deleted'
        """,
        organisation=organisation,
        done=done,
    )
    execute(
        connection,
        """
        UPDATE erasures SET looked_at = now()
        WHERE organisation = :organisation AND erasure = ANY(CAST(:first AS bigint[]))
        """,
        organisation=organisation,
        first=first,
    )
    if first:
        at = value(connection, "SELECT now() + CAST(:again AS interval)", again=again)
        work.add(connection, organisation, "tasks", "learners.erase", 0, scheduled_for=at)
