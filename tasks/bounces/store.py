"""What came back, and the addresses that get no more mail, as SQL."""

from dataclasses import dataclass
from datetime import datetime

from psycopg import sql
from sqlalchemy import Connection

from config.database import column, execute, one, rows, value
from tasks.bounces.rules import SOFT_IN_A_ROW, Bounce, Kind, Suppressed
from tasks.mail import Token
from tasks.reports import Report

#: Advisory lock class of one recipient's reports; the second key is a hash of whose. Of two that are taken at once, the
#: second sees the first, so that the fifth soft bounce is seen to be the fifth.
RECIPIENT_LOCK = 7403


@dataclass(frozen=True, slots=True)
class Reported:
    """The delivery that a report is about: its recipient's address as it is now, and whether bounces still count."""

    announcement: bool
    learner: bool
    address: str
    counts: bool


@dataclass(frozen=True, slots=True)
class Suppression:
    """An address that gets no more mail from an organisation; a row of `suppressions list`."""

    address: str
    reason: str
    since: datetime
    why: str | None
    by: str | None


def reported(connection: Connection, token: Token) -> Reported | None:
    """The delivery that a token names, if there is still somebody it was for. Others' reports about the same recipient
    wait until the transaction ends."""
    execute(
        connection,
        "SELECT pg_advisory_xact_lock(:lock, hashtext(format('%s %s', CAST(:whose AS int), CAST(:recipient AS int))))",
        lock=RECIPIENT_LOCK,
        whose=token.organisation,
        recipient=token.recipient,
    )
    return one(
        connection,
        Reported,
        """
        SELECT m.kind = 'announcement' AS announcement, d.recipient > 0 AS learner,
               CASE WHEN d.recipient > 0 THEN l.email ELSE d.address END AS address,
               NOT EXISTS (
                   SELECT FROM lifted_suppressions f
                   WHERE f.organisation = d.organisation
                     AND f.address = mail_key(CASE WHEN d.recipient > 0 THEN l.email ELSE d.address END)
                     AND f.lifted_at >= d.settled_at) AS counts
        FROM deliveries d
        JOIN mailings m USING (organisation, mailing)
        LEFT JOIN learners l ON l.organisation = d.organisation AND l.learner = d.recipient
        WHERE d.organisation = :organisation AND d.mailing = :mailing AND d.recipient = :recipient
          AND CASE WHEN d.recipient > 0 THEN l.email ELSE d.address END IS NOT NULL
        """,
        organisation=token.organisation,
        mailing=token.mailing,
        recipient=token.recipient,
    )


def record(connection: Connection, token: Token, bounce: Bounce) -> bool:
    """Write down what came back for a delivery; whether that says more than what was known of it (R32)."""
    return bool(
        execute(
            connection,
            """
            INSERT INTO bounces (organisation, mailing, recipient, kind, status, diagnostic, fingerprint)
            VALUES (:organisation, :mailing, :recipient, :kind, :status, :diagnostic, :fingerprint)
            ON CONFLICT (organisation, mailing, recipient) DO UPDATE
            SET kind = excluded.kind, at = excluded.at, status = excluded.status, diagnostic = excluded.diagnostic,
                fingerprint = excluded.fingerprint
            WHERE bounces.kind < excluded.kind
            """,
            organisation=token.organisation,
            mailing=token.mailing,
            recipient=token.recipient,
            kind=bounce.kind.value,
            status=bounce.status,
            diagnostic=bounce.diagnostic,
            fingerprint=token.fingerprint,
        )
    )


def known(connection: Connection, organisation: int, learner: int) -> bool:
    """Whether there is still a learner with this number."""
    return bool(
        value(
            connection,
            """
            SELECT EXISTS (SELECT FROM learners l WHERE l.organisation = :organisation AND l.learner = :learner
                           AND l.standing IN ('active', 'inactive'))
            """,
            organisation=organisation,
            learner=learner,
        )
    )


def record_complaint(connection: Connection, organisation: int, learner: int, announcement: str) -> None:
    """Write down that a learner complained of an announcement, if it is one that they got."""
    execute(
        connection,
        """
        INSERT INTO bounces (organisation, mailing, recipient, kind, fingerprint)
        SELECT d.organisation, d.mailing, d.recipient, 'complaint', ''
        FROM mailings m JOIN deliveries d USING (organisation, mailing)
        WHERE m.organisation = :organisation AND m.kind = 'announcement' AND m.source = '' AND m.id = :announcement
          AND d.organisation = :organisation AND d.recipient = :learner
        ON CONFLICT (organisation, mailing, recipient) DO UPDATE
        SET kind = excluded.kind, at = excluded.at, status = NULL, diagnostic = NULL
        WHERE bounces.kind < excluded.kind
        """,
        organisation=organisation,
        learner=learner,
        announcement=announcement,
    )


def history(connection: Connection, token: Token, address: str) -> list[Kind | None]:
    """What became of the deliveries to an address of one recipient, in the order of time, from the first that bounced
    softly to the last, since a person lifted its suppression; None is one that did not bounce.

    Empty where too few bounced to look at the others.
    """
    found = column(
        connection,
        """
        WITH bounced AS MATERIALIZED (
            SELECT b.mailing, b.kind, coalesce(d.settled_at, b.at) AS at
            FROM bounces b JOIN deliveries d USING (organisation, mailing, recipient)
            WHERE b.organisation = :organisation AND b.recipient = :recipient AND b.fingerprint = :fingerprint
              AND coalesce(d.settled_at, b.at) > coalesce((
                  SELECT f.lifted_at FROM lifted_suppressions f
                  WHERE f.organisation = :organisation AND f.address = mail_key(:address)), '-infinity')
        ), span AS (
            SELECT min(at) AS first, max(at) AS last FROM bounced HAVING count(*) >= :enough
        )
        SELECT kind FROM (
            SELECT CAST(b.kind AS text) AS kind, b.at, b.mailing FROM span JOIN bounced b ON true
            UNION ALL
            SELECT NULL, d.settled_at, d.mailing
            FROM span
            JOIN mailings m ON m.organisation = :organisation
            JOIN deliveries d ON d.organisation = m.organisation AND d.mailing = m.mailing AND d.recipient = :recipient
            WHERE d.state = 'accepted' AND d.settled_at BETWEEN span.first AND span.last AND NOT EXISTS (
                SELECT FROM bounces b WHERE b.organisation = d.organisation AND b.mailing = d.mailing
                  AND b.recipient = d.recipient)
        ) past ORDER BY at, mailing
        """,
        organisation=token.organisation,
        recipient=token.recipient,
        fingerprint=token.fingerprint,
        address=address,
        enough=SOFT_IN_A_ROW,
    )
    return [None if kind is None else Kind(kind) for kind in found]


def suppress(
    connection: Connection,
    organisation: int,
    address: str,
    reason: Suppressed,
    *,
    why: str | None,
    by: str | None = None,
) -> bool:
    """Send an address no more mail; whether it got mail until now."""
    return bool(
        execute(
            connection,
            """
            INSERT INTO suppressions (organisation, address, reason, why, by_whom)
            VALUES (:organisation, mail_key(:address), :reason, :why, :by)
            ON CONFLICT DO NOTHING
            """,
            organisation=organisation,
            address=address,
            reason=reason.value,
            why=why,
            by=by,
        )
    )


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which suppressions are meant: of all that are not None, those that fit each."""

    addresses: list[str] | None = None
    reason: Suppressed | None = None
    announcement: str | None = None
    since: datetime | None = None
    until: datetime | None = None


_CHOSEN = """
    s.organisation = :organisation
    AND (CAST(:addresses AS text[]) IS NULL OR s.address = ANY(CAST(:addresses AS text[])))
    AND (CAST(:reason AS text) IS NULL OR s.reason = :reason)
    AND (CAST(:since AS timestamptz) IS NULL OR s.since >= :since)
    AND (CAST(:until AS timestamptz) IS NULL OR s.since <= :until)
    AND (CAST(:announcement AS text) IS NULL OR s.address IN (
        SELECT mail_key(coalesce(d.address, l.email))
        FROM mailings m
        JOIN deliveries d USING (organisation, mailing)
        LEFT JOIN learners l ON l.organisation = d.organisation AND l.learner = d.recipient
        LEFT JOIN bounces b ON b.organisation = d.organisation AND b.mailing = d.mailing AND b.recipient = d.recipient
        WHERE m.organisation = :organisation AND m.kind = 'announcement' AND m.source = '' AND m.id = :announcement
          AND d.organisation = :organisation AND (d.state = 'failed' OR b.mailing IS NOT NULL)))
"""


def count(connection: Connection, organisation: int, chosen: Chosen) -> int:
    """How many suppressions are meant."""
    found = value(
        connection,
        f"SELECT count(*) FROM suppressions s WHERE {_CHOSEN}",
        organisation=organisation,
        **_parameters(chosen),
    )
    return int(found)


def lift(connection: Connection, organisation: int, chosen: Chosen, *, why: str | None, by: str) -> int:
    """Send addresses mail again; how many got none. Who lifted it and why is kept, and bounces of what went there
    before count no more."""
    return execute(
        connection,
        f"""
        WITH lifted AS (DELETE FROM suppressions s WHERE {_CHOSEN} RETURNING s.address)
        INSERT INTO lifted_suppressions (organisation, address, why, by_whom)
        SELECT :organisation, address, :why, :by FROM lifted
        ON CONFLICT (organisation, address) DO UPDATE
        SET lifted_at = excluded.lifted_at, why = excluded.why, by_whom = excluded.by_whom
        """,
        organisation=organisation,
        why=why,
        by=by,
        **_parameters(chosen),
    )


def _parameters(chosen: Chosen) -> dict[str, object]:
    return {
        "addresses": chosen.addresses,
        "reason": None if chosen.reason is None else chosen.reason.value,
        "announcement": chosen.announcement,
        "since": chosen.since,
        "until": chosen.until,
    }


def unsubscribe(connection: Connection, organisation: int, learner: int) -> None:
    """Send a learner no more announcements."""
    execute(
        connection,
        "INSERT INTO unsubscribed (organisation, learner) VALUES (:organisation, :learner) ON CONFLICT DO NOTHING",
        organisation=organisation,
        learner=learner,
    )


@dataclass(frozen=True, slots=True)
class _Returned:
    kind: str
    n: int


def came_back(connection: Connection, organisation: int, mailing: int) -> dict[str, int]:
    """How many deliveries of a mailing came back after the server had accepted them, by the kind of what came; none of
    a kind of which there are none."""
    found = rows(
        connection,
        _Returned,
        """
        SELECT CAST(kind AS text) AS kind, count(*) AS n FROM bounces
        WHERE organisation = :organisation AND mailing = :mailing GROUP BY bounces.kind ORDER BY bounces.kind
        """,
        organisation=organisation,
        mailing=mailing,
    )
    return {each.kind: each.n for each in found}


#: Every suppression, the oldest first.
SUPPRESSIONS = Report(
    sql.SQL(
        """
SELECT address, reason, rfc3339(since) AS since, why, by_whom AS by FROM suppressions
WHERE organisation = {organisation}
ORDER BY suppressions.since, address
"""
    ),
    sql.SQL(
        """
SELECT spreadsheet_safe(address) AS address, reason, since, spreadsheet_safe(why) AS why,
       spreadsheet_safe(by) AS by
FROM ({rows}) r
"""
    ),
)
