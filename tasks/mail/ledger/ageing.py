"""The ledger of mail as it grows old: mailings are numbered by month, and a month of their deliveries is dropped as one
(R35); as SQL."""

from sqlalchemy import Connection

from config.database import MONTH_BITS, column, execute, is_true, say, value
from config.locks import NUMBERS_LOCK
from config.sql import query

#: Ledgers that are forgotten one by one, in one transaction at most.
MOST_LEDGERS = 1000


def number_by_month(connection: Connection) -> None:
    """See to it that what is new is numbered in the range of this month, or above. No number is ever given twice."""
    execute(connection, "SELECT pg_advisory_xact_lock(:lock, 0)", lock=NUMBERS_LOCK)
    moved = value(
        connection,
        """
        SELECT setval(numbers, first) FROM (
            SELECT CAST(pg_get_serial_sequence('mailings', 'mailing') AS regclass) AS numbers,
                   number_of_month(now()) AS first OFFSET 0) month
        WHERE coalesce(pg_sequence_last_value(numbers), 0) < first
        """,
    )
    if moved is not None:
        say(connection, "mailings.numbered", first=moved)


def months_numbered(connection: Connection, organisation: int) -> list[int]:
    """The lowest number of each month of which an organisation has mailings."""
    return column(
        connection,
        "SELECT DISTINCT mailing >> :bits << :bits FROM mailings WHERE organisation = :organisation ORDER BY 1",
        organisation=organisation,
        bits=MONTH_BITS,
    )


def is_done_with(connection: Connection, partition: str, lowest: int | None, below: int | None, days: int) -> bool:
    """Whether everything in a partition of the ledger may go: no mailing gets a number in it any more, and each that
    has one ended so many days ago, and is counted, or was never launched.

    Until the transaction ends nobody writes into it: what is launched later than this looks is written elsewhere.
    """
    execute(connection, "SELECT hold_partition(:name)", name=partition)
    return is_true(
        connection,
        query("mail.is_done_with"),
        lowest=-(2**63) if lowest is None else lowest,
        below=below,
        days=days,
    )


def forget_ledgers(connection: Connection, days: int) -> bool:
    """Delete the deliveries of mailings that ended so many days ago, where they lie in no month: of what was launched
    long after it was written, or came from another cell. Whether no more are left than that."""
    forgotten = execute(
        connection,
        query("mail.forget_ledgers"),
        days=days,
        most=MOST_LEDGERS,
    )
    if forgotten:
        say(connection, "deliveries.forgotten", deliveries=forgotten)
    return forgotten == 0


def is_forgotten(connection: Connection, organisation: int, mailing: int) -> bool:
    """Whether an announcement had recipients, and which they were is not kept any more."""
    return is_true(
        connection,
        """
        SELECT m.counts <> '[]' AND NOT EXISTS (
            SELECT FROM deliveries d
            WHERE d.organisation = :organisation AND d.mailing = :mailing AND same_month(d.mailing, :mailing))
        FROM mailings m
        WHERE m.organisation = :organisation AND m.mailing = :mailing AND m.counted_at = m.finished_at
        """,
        organisation=organisation,
        mailing=mailing,
    )
