"""Mailings, and how their deliveries add up, as SQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from config.database import execute, is_true, one, rows, scoped, the_one, tuples
from config.sql import query
from tasks.mail.rules import Kind


@dataclass(frozen=True, slots=True)
class Mailing:
    """One message to many: what is said, and how it stands; `figures`: of a warning, the JSON of a `Usage`."""

    organisation: int
    organisation_id: str
    organisation_name: str
    mailing: int
    kind: Kind
    source: str
    id: str
    state: str
    policy: str
    subject: str
    body: str
    logo: str | None = None
    colour: str | None = None
    figures: str | None = None
    traceparent: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", Kind(self.kind))


@dataclass(frozen=True, slots=True)
class Tally:
    """How many deliveries of a mailing stand so, for this reason."""

    mailing: int
    state: str
    reason: str | None
    n: int


_MAILING = """
SELECT m.organisation, o.id AS organisation_id, o.name AS organisation_name, m.mailing, m.kind, m.source, m.id, m.state,
       m.policy, m.subject, m.body, o.logo, o.colour,
       CAST(m.figures AS text) AS figures, m.traceparent
FROM mailings m JOIN organisations o USING (organisation)
"""


def mailing(connection: Connection, organisation: int, number: int) -> Mailing | None:
    """The mailing with this number."""
    return one(
        connection,
        Mailing,
        _MAILING + "WHERE m.organisation = :organisation AND m.mailing = :number",
        organisation=organisation,
        number=number,
    )


def tally(connection: Connection, organisation: int, mailing: int) -> list[Tally]:
    """How the deliveries of a mailing stand."""
    return tallies(connection, organisation, [mailing])[mailing]


def tallies(connection: Connection, organisation: int, mailings: Sequence[int]) -> dict[int, list[Tally]]:
    """How the deliveries of each of these mailings stand, by its number."""
    found: dict[int, list[Tally]] = {mailing: [] for mailing in mailings}
    for entry in rows(
        connection,
        Tally,
        query("mail.tallies"),
        organisation=organisation,
        mailings=list(mailings),
        lowest=min(mailings, default=0),
        highest=max(mailings, default=0),
    ):
        found[entry.mailing].append(entry)
    return found


#: Announcements of which the counts are kept in one transaction at most.
KEPT_AT_ONCE = 5


def keep_counts(connection: Connection) -> int:
    """Keep how the deliveries stand of some announcements that are closed; of how many.

    They hold for one closing. Whoever changes a delivery without opening the announcement again takes them away, and so
    waits for this, or is seen by it: the row of the mailing is locked before its deliveries are counted.
    """
    some = tuples(
        connection,
        """
        SELECT organisation, mailing FROM mailings
        WHERE kind = 'announcement' AND finished_at IS NOT NULL AND counted_at IS DISTINCT FROM finished_at
        ORDER BY organisation, mailing LIMIT :most FOR UPDATE SKIP LOCKED
        """,
        most=KEPT_AT_ONCE,
    )
    for organisation, mailing in some:
        with scoped(connection, organisation):
            execute(
                connection,
                """
                UPDATE mailings SET counted_at = finished_at, counts = (
                    SELECT coalesce(jsonb_agg(jsonb_build_object('state', state, 'reason', reason, 'n', n)), '[]')
                    FROM (
                        SELECT d.state, CASE WHEN d.state = 'skipped' THEN d.reason END AS reason, count(*) AS n
                        FROM deliveries d WHERE d.organisation = :organisation AND d.mailing = :mailing
                          AND same_month(d.mailing, :mailing)
                        GROUP BY 1, 2) tally)
                WHERE organisation = :organisation AND mailing = :mailing
                """,
                organisation=organisation,
                mailing=mailing,
            )
    return len(some)


def are_open(connection: Connection) -> bool:
    """Whether any mailing is not finished, or any announcement is closed and not counted yet."""
    return is_true(
        connection,
        """
        SELECT EXISTS (SELECT FROM mailings WHERE state IN ('sending', 'cancelled') AND finished_at IS NULL)
            OR EXISTS (SELECT FROM mailings WHERE kind = 'announcement' AND finished_at IS NOT NULL
                       AND counted_at IS DISTINCT FROM finished_at)
        """,
    )


def unworked(connection: Connection, after: tuple[int, int]) -> list[Mailing]:
    """Mailings that are being sent, or were cancelled, and of which no piece of work is left: the next page of them
    `after` one, by the numbers of its organisation and its own."""
    return rows(
        connection,
        Mailing,
        _MAILING
        + """
        WHERE m.state IN ('sending', 'cancelled') AND m.finished_at IS NULL
          AND (m.organisation, m.mailing) > (:after_organisation, :after_mailing) AND NOT EXISTS (
            SELECT FROM work w WHERE w.organisation = m.organisation AND w.subject = m.mailing
              AND w.actor IN ('mail.deliver', 'announcements.survey', 'announcements.audience',
                              'announcements.cancel'))
          AND NOT EXISTS (
            SELECT FROM fanouts f WHERE f.organisation = m.organisation AND f.finished_at IS NULL
              AND f.mailing = m.mailing)
        ORDER BY m.organisation, m.mailing LIMIT 200
        """,
        after_organisation=after[0],
        after_mailing=after[1],
    )


@dataclass(frozen=True, slots=True)
class InProgress:
    """How many announcements, and how many notices, are on their way, or cancelled and not closed yet. None is on
    its way while all mail is paused."""

    announcements: int
    notices: int


def in_progress(connection: Connection) -> InProgress:
    """What is on its way now."""
    return the_one(
        connection,
        InProgress,
        """
        SELECT count(*) FILTER (WHERE kind = 'announcement') AS announcements,
               count(*) FILTER (WHERE kind <> 'announcement') AS notices
        FROM mailings m JOIN organisations o USING (organisation)
        WHERE state IN ('sending', 'cancelled') AND finished_at IS NULL
          AND (state = 'cancelled' OR (SELECT paused_at IS NULL FROM mail_control))
        """,
    )


@dataclass(frozen=True, slots=True)
class MailingUnderWay:
    """A mailing that is being sent, was cancelled and is not closed yet, or is paused. `pieces`: of work, which are
    left. `place` and `number`: its place in the list."""

    place: int
    number: int
    organisation: str
    kind: str
    mailing: str
    state: str
    since: datetime
    pieces: int


def under_way(connection: Connection, after: tuple[int, int], limit: int) -> list[MailingUnderWay]:
    """The mailings of every organisation that are not at their end, from behind this place."""
    return rows(
        connection,
        MailingUnderWay,
        query("mail.under_way"),
        organisation_before=after[0],
        mailing_before=after[1],
        limit=limit,
    )


@dataclass(frozen=True, slots=True)
class ReceivedMail:
    """What became of a mail for one learner: what the server said of it, and what came back. `subject`: of an
    announcement, as its admin wrote it."""

    kind: str
    mailing: str
    state: str
    reason: str | None
    at: datetime | None
    attempts: int
    bounced: str | None
    bounced_at: datetime | None
    bounce_status: str | None
    subject: str | None = None


def received_by(connection: Connection, organisation: int, learner: int) -> list[ReceivedMail]:
    """The mail of one learner, oldest first."""
    return rows(
        connection,
        ReceivedMail,
        """
        SELECT m.kind, m.id AS mailing, d.state, d.reason, d.settled_at AS at, d.attempts,
               CAST(b.kind AS text) AS bounced, b.at AS bounced_at, b.status AS bounce_status,
               CASE WHEN m.kind = 'announcement' THEN m.subject END AS subject
        FROM mailings m
        JOIN deliveries d USING (organisation, mailing)
        LEFT JOIN bounces b USING (organisation, mailing, recipient)
        WHERE m.organisation = :organisation AND d.recipient = :learner ORDER BY m.mailing
        """,
        organisation=organisation,
        learner=learner,
    )
