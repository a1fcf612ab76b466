"""What is kept of learners who were erased, as SQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection

from config.database import column, execute, rows, value
from tasks import work
from tasks.erasure.rules import Erased, Needles
from tasks.events import inbox

#: Who gives up an event that is about somebody who was erased, and why.
BY, WHY = "rollcall", "the learner was erased"

#: Learners looked for at once: what is known of them is kept in memory.
MOST = 10_000

#: Announcements of which the texts are read at once.
TEXTS = 20


def begin(connection: Connection, organisation: int, deleted: Sequence[tuple[str, datetime]]) -> None:
    """Write down who is erased, before they are, and by what to know them; and that every place is to be looked at.

    `deleted`: ids, and when the deletion happened; nobody need have saved them.
    """
    execute(
        connection,
        """
        INSERT INTO erasures (organisation, learner, id, until, digests, names)
        SELECT :organisation, l.learner, gone.id, gone.until,
               ARRAY(SELECT known FROM (
                         SELECT unnest(ARRAY[digest_of(l.email), digest_of(l.username)]) AS known
                         UNION
                         SELECT digest FROM former_addresses f
                         WHERE f.organisation = :organisation AND f.learner = l.learner) all_
                     WHERE known <> digest_of(gone.id)),
               array_remove(ARRAY[digest_of(nullif(l.first_name, '')), digest_of(nullif(l.last_name, ''))], NULL)
        FROM unnest(CAST(:ids AS text[]), CAST(:untils AS timestamptz[])) AS gone (id, until)
        LEFT JOIN learners l ON l.organisation = :organisation AND l.id = gone.id
        """,
        organisation=organisation,
        ids=[id_ for id_, _ in deleted],
        untils=[until for _, until in deleted],
    )
    work.add(connection, organisation, "tasks", "learners.erase", 0)


def is_looked_at(connection: Connection, organisation: int, piece: int) -> bool:
    """Whether an earlier piece of work looks at this organisation now: two would look everywhere for the same, and keep
    others from being worked on (R31)."""
    return bool(
        value(
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


def forget_ledger(connection: Connection, organisation: int, erased: Sequence[Erased]) -> None:
    """Remove their addresses from the ledger, and what servers said of them, which may have been said since."""
    numbers = [one.learner for one in erased if one.learner is not None]
    for ledger in (
        """
        UPDATE deliveries d SET reply = NULL, address = NULL FROM learners l, mailings m
        WHERE l.organisation = :organisation AND l.learner = ANY(CAST(:numbers AS int[])) AND l.standing = 'deleted'
          AND m.organisation = :organisation AND d.organisation = :organisation AND d.mailing = m.mailing
          AND d.recipient = l.learner AND (d.reply IS NOT NULL OR d.address IS NOT NULL)
        """,
        """
        UPDATE attempts a SET reply = NULL, address = NULL FROM learners l, mailings m
        WHERE l.organisation = :organisation AND l.learner = ANY(CAST(:numbers AS int[])) AND l.standing = 'deleted'
          AND m.organisation = :organisation AND a.organisation = :organisation AND a.mailing = m.mailing
          AND a.recipient = l.learner AND (a.reply IS NOT NULL OR a.address IS NOT NULL)
        """,
        """
        DELETE FROM bounces b USING learners l
        WHERE l.organisation = :organisation AND l.learner = ANY(CAST(:numbers AS int[])) AND l.standing = 'deleted'
          AND b.organisation = :organisation AND b.recipient = l.learner
        """,
    ):
        execute(connection, ledger, organisation=organisation, numbers=numbers)


def forget_addresses(connection: Connection, organisation: int, needles: Needles) -> None:
    """Remove the suppressions of their addresses, those of before included, unless somebody else has the address."""
    digests = list(needles.digests)
    for table in (
        """
        DELETE FROM suppressions s WHERE s.organisation = :organisation
          AND digest_of(s.address) = ANY(CAST(:digests AS bytea[])) AND NOT EXISTS (
              SELECT FROM learners o WHERE o.organisation = :organisation AND mail_key(o.email) = s.address)
        """,
        """
        DELETE FROM lifted_suppressions s WHERE s.organisation = :organisation
          AND digest_of(s.address) = ANY(CAST(:digests AS bytea[])) AND NOT EXISTS (
              SELECT FROM learners o WHERE o.organisation = :organisation AND mail_key(o.email) = s.address)
        """,
    ):
        execute(connection, table, organisation=organisation, digests=digests)


def forget_texts(connection: Connection, organisation: int, erased: Sequence[Erased]) -> None:
    """Remove the text of announcements to nobody but learners who were erased."""
    execute(
        connection,
        """
        UPDATE mailings m SET subject = '', body = ''
        WHERE organisation = :organisation AND kind = 'announcement' AND audience -> 'learners' ?| CAST(:ids AS text[])
          AND subject || body <> '' AND NOT EXISTS (
              SELECT FROM jsonb_array_elements_text(audience -> 'learners') AS named (id)
              LEFT JOIN learners l ON l.organisation = m.organisation AND l.id = named.id
              WHERE l.standing IS DISTINCT FROM 'deleted')
        """,
        organisation=organisation,
        ids=[one.id for one in erased],
    )


@dataclass(frozen=True, slots=True)
class _Text:
    mailing: int
    subject: str
    body: str


def forget_in_texts(connection: Connection, organisation: int, needles: Needles, after: int) -> int | None:
    """Take what names them out of announcements to others, whatever has been sent of them: one page; the last of it, or
    None where there is no more. One that is edited meanwhile is looked at again."""
    page = rows(
        connection,
        _Text,
        """
        SELECT mailing, subject, body FROM mailings
        WHERE organisation = :organisation AND kind = 'announcement' AND mailing > :after AND subject || body <> ''
        ORDER BY mailing LIMIT :page
        """,
        organisation=organisation,
        after=after,
        page=TEXTS,
    )
    for one in page:
        subject, body = needles.left_of(one.subject, one.body)
        if (subject, body) != (one.subject, one.body):
            execute(
                connection,
                """
                UPDATE mailings SET subject = :subject, body = :body
                WHERE organisation = :organisation AND mailing = :mailing AND subject = :was AND body = :said
                """,
                organisation=organisation,
                mailing=one.mailing,
                subject=subject,
                body=body,
                was=one.subject,
                said=one.body,
            )
    return page[-1].mailing if page else None


@dataclass(frozen=True, slots=True)
class _Told:
    event: UUID


def forget_usernames(connection: Connection, organisation: int, erased: Sequence[Erased]) -> None:
    """Remove their usernames from what went out, so that nothing publishes them again; and what those who got it, and
    refused it, said of it."""
    told = rows(
        connection,
        _Told,
        """
        UPDATE outbox o SET data = json_build_object('learner', gone.id, 'username', null)
        FROM unnest(CAST(:ids AS text[]), CAST(:ats AS timestamptz[])) AS gone (id, at)
        WHERE o.organisation = :organisation AND o.type = 'rollcall.learner.password_void'
          AND o.data ->> 'learner' = gone.id AND o.time <= gone.at
        RETURNING o.id AS event
        """,
        organisation=organisation,
        ids=[one.id for one in erased],
        ats=[one.at for one in erased],
    )
    execute(
        connection,
        "UPDATE webhook_attempts SET said = '' WHERE event = ANY(CAST(:events AS uuid[])) AND said <> ''",
        events=[one.event for one in told],
    )


def positions(connection: Connection, organisation: int, erased: Sequence[Erased]) -> list[int] | None:
    """Where their usernames were published; None where some of it may be on its way."""
    found = column(
        connection,
        """
        WITH told AS (
            SELECT o.organisation, o.seq, o.position
            FROM unnest(CAST(:ids AS text[]), CAST(:ats AS timestamptz[])) AS gone (id, at)
            JOIN outbox o ON o.organisation = :organisation AND o.type = 'rollcall.learner.password_void'
              AND o.data ->> 'learner' = gone.id AND o.time <= gone.at
        )
        SELECT position FROM told
        UNION ALL
        SELECT r.position FROM told JOIN replays r USING (organisation, seq)
        """,
        organisation=organisation,
        ids=[one.id for one in erased],
        ats=[one.at for one in erased],
    )
    published = int(value(connection, "SELECT published FROM publication") or 0)
    return None if any(at is None or at > published for at in found) else found


def forget_held(connection: Connection, id_: str, needles: Needles, after: int) -> int | None:
    """Give up what could not be taken and describes them, or is malformed and names them, and take what names them out
    of the rest: one page of it; the last of it, or None where there is no more. What is of nobody knows which
    organisation is looked at, too."""
    page = inbox.held_after(connection, id_, after)
    for one in page:
        if needles.name(one.body, id_):
            left = needles.without(one.body)
            if left is None:
                inbox.resolve(connection, one, "discarded", by=BY, why=WHY)
            else:
                inbox.rewrite(connection, one.seq, left)
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
