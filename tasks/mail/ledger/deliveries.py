"""Mailings, the gate and the ledger of deliveries, as SQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from config.database import execute, one, rows, value
from tasks.mail.rules import FIRST, Before, Delivery, Kind, Outcome, RecipientKind, Verdict, kind_of


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

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", Kind(self.kind))


@dataclass(slots=True)
class Recipient:
    """One recipient at the gate: the verdict of this moment, and what their message is made of."""

    recipient: int
    id: str
    attempts: int
    retried: bool
    verdict: Verdict
    address: str
    first_name: str
    last_name: str
    username: str
    locale: str
    items: list[str]
    put_off: int = 0
    since: datetime | None = None
    #: Whether it is to be looked up whether the mail went before the database was restored.
    look_up: bool = False

    def __post_init__(self) -> None:
        self.verdict = Verdict(self.verdict)

    @property
    def kind(self) -> RecipientKind:
        """Who they are to the organisation."""
        return kind_of(self.recipient)

    @property
    def domain(self) -> str:
        """Where their mail goes."""
        return self.address.rpartition("@")[2].lower()

    @property
    def before(self) -> Before:
        """What became of this mail before."""
        return Before(self.attempts, self.put_off, self.since) if self.attempts or self.put_off else FIRST


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
       CAST(m.figures AS text) AS figures
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


def at_the_gate(
    connection: Connection, organisation: int, mailing: int, low: int, high: int, limit: int
) -> list[Recipient]:
    """The next pending recipients of a stretch, each with the gate's verdict of this moment (R15).

    Asked immediately before each attempt; whatever was known earlier does not count.
    """
    return rows(
        connection,
        Recipient,
        """
        WITH judged AS (
            SELECT d.recipient, d.attempts, d.due_at IS NOT NULL AS retried,
                   d.attempts > 0 OR d.reason IS NOT NULL AS has_history, m.kind, m.mailing, m.learners,
                   coalesce(l.id, 'admin ' || -d.recipient) AS id,
                   coalesce(d.address, l.email, '') AS address, coalesce(l.first_name, '') AS first_name,
                   coalesce(l.last_name, '') AS last_name, coalesce(l.username, '') AS username,
                   coalesce(l.locale, '') AS locale,
                   mail_verdict(
                       m.kind, CASE WHEN m.state = 'sending' AND
                           (SELECT paused_at IS NOT NULL FROM mail_control) THEN 'paused' ELSE m.state END,
                       CASE WHEN is_admin(d.recipient) THEN 'active' ELSE l.standing END,
                       coalesce(d.address, l.email),
                       EXISTS (SELECT FROM unsubscribed u
                               WHERE u.organisation = d.organisation AND u.learner = d.recipient),
                       EXISTS (SELECT FROM suppressions s WHERE s.organisation = d.organisation
                               AND s.address = mail_key(coalesce(d.address, l.email)))
                   ) AS verdict
            FROM deliveries d
            JOIN mailings m USING (organisation, mailing)
            LEFT JOIN learners l ON l.organisation = d.organisation AND l.learner = d.recipient
            WHERE d.organisation = :organisation AND d.mailing = :mailing AND d.recipient BETWEEN :low AND :high
              AND d.state = 'pending' AND (d.due_at IS NULL OR d.due_at <= now())
            ORDER BY d.recipient LIMIT :limit
        ), told AS (
            SELECT j.*, CASE
                WHEN j.kind IN ('enrolment', 'digest') THEN ARRAY(
                    SELECT c.title FROM enrolments e JOIN courses c USING (organisation, course)
                    WHERE e.organisation = :organisation AND e.learner = j.recipient AND e.notice = j.mailing
                      AND e.withdrawn_at IS NULL AND NOT c.on_hold
                    ORDER BY c.title)
                WHEN j.kind = 'password' THEN ARRAY(
                    SELECT concat_ws(' ', who.first_name, who.last_name, '(' || coalesce(who.username, who.id) || ')')
                    FROM learners who
                    WHERE who.organisation = :organisation AND who.learner = ANY(j.learners)
                      AND who.standing IN ('active', 'inactive')
                    ORDER BY 1)
                ELSE '{}' END AS items
            FROM judged j
        )
        SELECT recipient, id, attempts, retried,
               CASE WHEN verdict = 'send' AND items = '{}' AND kind IN ('enrolment', 'digest', 'password')
                    THEN 'nothing to tell' ELSE verdict END AS verdict,
               address, first_name, last_name, username, locale, items,
               put_off, since, (SELECT coalesce(known_until > now(), false) FROM mail_control) AS look_up
        FROM told
        CROSS JOIN LATERAL (
            SELECT CAST(count(*) AS int) AS put_off, min(attempted_at) AS since FROM attempts a
            WHERE told.has_history AND a.organisation = :organisation AND a.mailing = :mailing
              AND a.recipient = told.recipient AND a.reason IN ('throttled', 'unreachable', 'refused us')
              AND a.attempted_at >= coalesce((
                  SELECT max(c.at) FROM mailing_changes c
                  WHERE c.organisation = :organisation AND c.mailing = :mailing AND c.move = 'retry'), '-infinity')
        ) lately
        ORDER BY recipient
        """,
        organisation=organisation,
        mailing=mailing,
        low=low,
        high=high,
        limit=limit,
    )


def stays_paused(connection: Connection, organisation: int, mailing: int) -> bool:
    """Whether a mailing, or all mail, is paused, and stays so until the transaction ends."""
    everything = value(connection, "SELECT paused_at IS NOT NULL FROM mail_control FOR SHARE")
    return bool(everything) or bool(
        value(
            connection,
            """
            SELECT state = 'paused' FROM mailings WHERE organisation = :organisation AND mailing = :mailing FOR SHARE
            """,
            organisation=organisation,
            mailing=mailing,
        )
    )


def settle(connection: Connection, organisation: int, mailing: int, outcomes: Sequence[Outcome]) -> None:
    """Write outcomes into the ledger; what settled nothing is kept as an attempt of its own (R18). Written twice, it is
    written once."""
    accepted = [o for o in outcomes if o.state is Delivery.ACCEPTED]
    if accepted:
        _accept(connection, organisation, mailing, accepted)
    if len(accepted) == len(outcomes):
        return
    outcomes = [o for o in outcomes if o.state is not Delivery.ACCEPTED]
    execute(
        connection,
        """
        UPDATE deliveries d SET state = CAST(new.state AS delivery_state), settled_at = CASE
                WHEN new.state <> 'pending' THEN new.at END,
            attempts = d.attempts + CAST(new.tried AS int), due_at = new.due_at, reason = new.reason,
            code = new.code, (reply, address) = (
                SELECT new.reply, CASE WHEN is_admin(d.recipient) THEN d.address ELSE new.address END
                WHERE is_admin(d.recipient) OR EXISTS (
                    SELECT FROM learners l WHERE l.organisation = :organisation AND l.learner = d.recipient
                      AND l.standing IN ('active', 'inactive')))
        FROM (SELECT CAST(:organisation AS int) AS organisation, CAST(:mailing AS bigint) AS mailing, given.*
              FROM unnest(CAST(:recipients AS int[]), CAST(:states AS text[]), CAST(:ats AS timestamptz[]),
                          CAST(:reasons AS text[]), CAST(:codes AS int[]), CAST(:replies AS text[]),
                          CAST(:trieds AS boolean[]), CAST(:dues AS timestamptz[]), CAST(:addresses AS text[]))
                   AS given (recipient, state, at, reason, code, reply, tried, due_at, address)
              OFFSET 0) new
        WHERE d.organisation = new.organisation AND d.mailing = new.mailing AND d.recipient = new.recipient
          AND d.recipient BETWEEN :low AND :high AND d.state = 'pending' AND (d.due_at IS NULL OR new.due_at IS NULL)
        """,
        organisation=organisation,
        mailing=mailing,
        low=min(o.recipient for o in outcomes),
        high=max(o.recipient for o in outcomes),
        recipients=[o.recipient for o in outcomes],
        states=[o.state.value for o in outcomes],
        ats=[o.at for o in outcomes],
        reasons=[o.reason for o in outcomes],
        codes=[o.code for o in outcomes],
        replies=[o.reply for o in outcomes],
        trieds=[o.tried for o in outcomes],
        dues=[o.due_at for o in outcomes],
        addresses=[None if o.state is Delivery.PENDING else o.address for o in outcomes],
    )
    unsettled = [o for o in outcomes if o.due_at is not None]
    if unsettled:
        execute(
            connection,
            """
            INSERT INTO attempts (organisation, mailing, recipient, attempted_at, code, reason, reply, address)
            SELECT :organisation, :mailing, recipient, at, code, reason, reply, CASE WHEN EXISTS (
                SELECT FROM learners l WHERE l.organisation = :organisation AND l.learner = new.recipient
                  AND l.standing IN ('active', 'inactive')) THEN address END
            FROM unnest(CAST(:recipients AS int[]), CAST(:ats AS timestamptz[]), CAST(:codes AS int[]),
                        CAST(:reasons AS text[]), CAST(:replies AS text[]), CAST(:addresses AS text[]))
                 AS new (recipient, at, code, reason, reply, address)
            ON CONFLICT DO NOTHING
            """,
            organisation=organisation,
            mailing=mailing,
            recipients=[o.recipient for o in unsettled],
            ats=[o.at for o in unsettled],
            codes=[o.code for o in unsettled],
            reasons=[o.reason for o in unsettled],
            replies=[o.reply for o in unsettled],
            addresses=[o.address for o in unsettled],
        )
    refused = [o for o in outcomes if o.suppress and o.address]
    if refused:
        execute(
            connection,
            """
            INSERT INTO suppressions (organisation, address, reason)
            SELECT DISTINCT :organisation, mail_key(tried.address), 'refused by its server'
            FROM unnest(CAST(:refused AS int[]), CAST(:addresses AS text[])) AS tried (recipient, address)
            WHERE is_admin(tried.recipient) OR EXISTS (
                SELECT FROM learners l WHERE l.organisation = :organisation AND l.learner = tried.recipient
                  AND l.standing IN ('active', 'inactive'))
            ON CONFLICT DO NOTHING
            """,
            organisation=organisation,
            refused=[o.recipient for o in refused],
            addresses=[o.address for o in refused],
        )


def _accept(connection: Connection, organisation: int, mailing: int, outcomes: Sequence[Outcome]) -> None:
    """Write what the server took: what becomes of nearly every mail, in half the time of what may become of any."""
    execute(
        connection,
        """
        UPDATE deliveries d SET state = 'accepted', settled_at = new.at, attempts = d.attempts + 1, due_at = NULL,
            reason = NULL, code = new.code, (reply, address) = (
                SELECT new.reply, CASE WHEN is_admin(d.recipient) THEN d.address ELSE new.address END
                WHERE is_admin(d.recipient) OR EXISTS (
                    SELECT FROM learners l WHERE l.organisation = :organisation AND l.learner = d.recipient
                      AND l.standing IN ('active', 'inactive')))
        FROM (SELECT CAST(:organisation AS int) AS organisation, CAST(:mailing AS bigint) AS mailing, given.*
              FROM unnest(CAST(:recipients AS int[]), CAST(:ats AS timestamptz[]), CAST(:codes AS int[]),
                          CAST(:replies AS text[]), CAST(:addresses AS text[]))
                   AS given (recipient, at, code, reply, address)
              OFFSET 0) new
        WHERE d.organisation = new.organisation AND d.mailing = new.mailing AND d.recipient = new.recipient
          AND d.recipient BETWEEN :low AND :high AND d.state = 'pending'
        """,
        organisation=organisation,
        mailing=mailing,
        low=min(o.recipient for o in outcomes),
        high=max(o.recipient for o in outcomes),
        recipients=[o.recipient for o in outcomes],
        ats=[o.at for o in outcomes],
        codes=[o.code for o in outcomes],
        replies=[o.reply for o in outcomes],
        addresses=[o.address for o in outcomes],
    )


def begun_by_lost(
    connection: Connection, organisation: int, mailing: int, low: int, begun: int
) -> list[tuple[int, int]]:
    """Whose sending had begun when a worker was lost (R19): each with how often they had been tried before."""
    found = rows(
        connection,
        _Begun,
        """
        SELECT recipient, attempts FROM deliveries
        WHERE organisation = :organisation AND mailing = :mailing AND recipient BETWEEN :low AND :begun
          AND state = 'pending' AND due_at IS NULL
        ORDER BY recipient
        """,
        organisation=organisation,
        mailing=mailing,
        low=low,
        begun=begun,
    )
    return [(row.recipient, row.attempts) for row in found]


@dataclass(frozen=True, slots=True)
class _Begun:
    recipient: int
    attempts: int


def put_off(
    connection: Connection, organisation: int, mailing: int, recipients: Sequence[int], pause: timedelta
) -> None:
    """These are not begun now: the pace does not allow it. Nothing was tried."""
    execute(
        connection,
        """
        UPDATE deliveries SET due_at = now() + :pause
        WHERE organisation = :organisation AND mailing = :mailing AND recipient = ANY(CAST(:recipients AS int[]))
        """,
        organisation=organisation,
        mailing=mailing,
        recipients=list(recipients),
        pause=pause,
    )


def begin_again(connection: Connection, organisation: int, mailing: int, recipients: Sequence[int]) -> None:
    """These are tried again now: should the worker be lost, whether they went is uncertain for them too."""
    execute(
        connection,
        """
        UPDATE deliveries SET due_at = NULL
        WHERE organisation = :organisation AND mailing = :mailing AND recipient = ANY(CAST(:recipients AS int[]))
        """,
        organisation=organisation,
        mailing=mailing,
        recipients=list(recipients),
    )


def next_try_seconds(connection: Connection, organisation: int, mailing: int, low: int, high: int) -> float | None:
    """Seconds until the next pending recipient of a stretch may be tried, or None where none is pending."""
    seconds = value(
        connection,
        """
        SELECT extract(epoch FROM min(coalesce(due_at, now())) - now()) FROM deliveries
        WHERE organisation = :organisation AND mailing = :mailing AND recipient BETWEEN :low AND :high
          AND state = 'pending'
        """,
        organisation=organisation,
        mailing=mailing,
        low=low,
        high=high,
    )
    return None if seconds is None else max(float(seconds), 0.0)


def tally(connection: Connection, organisation: int, mailing: int) -> list[Tally]:
    """How the deliveries of a mailing stand."""
    return tallies(connection, organisation, [mailing])[mailing]


def tallies(connection: Connection, organisation: int, mailings: Sequence[int]) -> dict[int, list[Tally]]:
    """How the deliveries of each of these mailings stand, by its number."""
    found: dict[int, list[Tally]] = {mailing: [] for mailing in mailings}
    for entry in rows(
        connection,
        Tally,
        """
        SELECT mailing, state, CASE WHEN state = 'skipped' THEN reason END AS reason, count(*) AS n FROM deliveries
        WHERE organisation = :organisation AND mailing = ANY(CAST(:mailings AS bigint[]))
        GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
        """,
        organisation=organisation,
        mailings=list(mailings),
    ):
        found[entry.mailing].append(entry)
    return found


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
    [found] = rows(
        connection,
        InProgress,
        """
        SELECT count(*) FILTER (WHERE kind = 'announcement') AS announcements,
               count(*) FILTER (WHERE kind <> 'announcement') AS notices
        FROM mailings WHERE state IN ('sending', 'cancelled') AND finished_at IS NULL
          AND (state = 'cancelled' OR (SELECT paused_at IS NULL FROM mail_control))
        """,
    )
    return found


@dataclass(frozen=True, slots=True)
class ReceivedMail:
    """What became of a mail for one learner: what the server said of it, and what came back."""

    kind: str
    mailing: str
    state: str
    reason: str | None
    at: datetime | None
    attempts: int
    bounced: str | None
    bounced_at: datetime | None
    bounce_status: str | None


def received_by(connection: Connection, organisation: int, learner: int) -> list[ReceivedMail]:
    """The mail of one learner, oldest first."""
    return rows(
        connection,
        ReceivedMail,
        """
        SELECT m.kind, m.id AS mailing, d.state, d.reason, d.settled_at AS at, d.attempts,
               CAST(b.kind AS text) AS bounced, b.at AS bounced_at, b.status AS bounce_status
        FROM mailings m
        JOIN deliveries d USING (organisation, mailing)
        LEFT JOIN bounces b USING (organisation, mailing, recipient)
        WHERE m.organisation = :organisation AND d.recipient = :learner ORDER BY m.mailing
        """,
        organisation=organisation,
        learner=learner,
    )
