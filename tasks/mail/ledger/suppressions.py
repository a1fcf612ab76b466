"""Addresses that get no more mail, why, and who let them get mail again; as SQL. The gate reads them (R15)."""

from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Connection

from config.database import changes_any, execute, integer, rows, value
from tasks.reports import Report


class Suppressed(StrEnum):
    """Why an address gets no more mail."""

    REFUSED = "refused by its server"
    HARD = "hard bounce"
    SOFT = "five soft bounces"
    COMPLAINT = "complaint"
    BY_HAND = "by hand"


@dataclass(frozen=True, slots=True)
class Suppression:
    """An address that gets no more mail from an organisation; a row of `suppressions list`."""

    address: str
    reason: str
    since: datetime
    why: str | None
    by: str | None


@dataclass(frozen=True, slots=True)
class NumberedSuppression(Suppression):
    """The same, by its place in the order in which they came."""

    number: int


def suppressions_after(
    connection: Connection,
    organisation: int,
    number: int,
    limit: int,
    *,
    part: str | None = None,
    until: int | None = None,
) -> list[NumberedSuppression]:
    """So many suppressions at most, those after one, by its number, and up to another; those alone whose address has
    this part."""
    return rows(
        connection,
        NumberedSuppression,
        """
        SELECT address, reason, since, why, by_whom AS by, number FROM suppressions
        WHERE organisation = :organisation AND number > :number
          AND (CAST(:until AS bigint) IS NULL OR number <= :until)
          AND (CAST(:part AS text) IS NULL OR strpos(address, mail_key(:part)) > 0)
        ORDER BY number LIMIT :limit
        """,
        organisation=organisation,
        number=number,
        until=until,
        part=part,
        limit=limit,
    )


def suppression_of(connection: Connection, organisation: int, address: str) -> list[NumberedSuppression]:
    """The suppression of this address, if there is one."""
    return rows(
        connection,
        NumberedSuppression,
        """
        SELECT address, reason, since, why, by_whom AS by, number FROM suppressions
        WHERE organisation = :organisation AND address = mail_key(:address)
        """,
        organisation=organisation,
        address=address,
    )


def suppression_place(connection: Connection, organisation: int, number: int, beyond: int) -> int | None:
    """The number of the suppression that is so many behind another; None if there are fewer."""
    found: int | None = value(
        connection,
        """
        SELECT number FROM suppressions WHERE organisation = :organisation AND number > :number
        ORDER BY number OFFSET :before LIMIT 1
        """,
        organisation=organisation,
        number=number,
        before=beyond - 1,
    )
    return found


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
    return changes_any(
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


def count_suppressions(connection: Connection, organisation: int, chosen: Chosen) -> int:
    """How many suppressions are meant."""
    return integer(
        connection,
        f"SELECT count(*) FROM suppressions s WHERE {_CHOSEN}",
        organisation=organisation,
        **asdict(chosen),
    )


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
        **asdict(chosen),
    )


#: Every suppression, the oldest first.
SUPPRESSIONS = Report(
    """
    SELECT address, reason, rfc3339(since) AS since, why, by_whom AS by FROM suppressions
    WHERE organisation = :organisation ORDER BY suppressions.since, address
    """,
    """
    SELECT spreadsheet_safe(address) AS address, reason, since, spreadsheet_safe(why) AS why, spreadsheet_safe(by) AS by
    FROM r
    """,
)
