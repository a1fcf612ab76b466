"""What came back, as SQL."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Connection

from config.database import changes_any, column, execute, is_true, one, tuples
from config.locks import RECIPIENT_LOCK
from config.sql import query
from tasks.bounces.rules import SOFT_IN_A_ROW, Bounce, BounceKind
from tasks.mail import Token


@dataclass(frozen=True, slots=True)
class Reported:
    """The delivery that a report is about: its recipient's address as it is now, and whether bounces still count."""

    announcement: bool
    address: str
    counts: bool


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
        query("bounces.reported"),
        organisation=token.organisation,
        mailing=token.mailing,
        recipient=token.recipient,
    )


def record(connection: Connection, token: Token, bounce: Bounce) -> bool:
    """Write down what came back for a delivery; whether that says more than what was known of it (R32)."""
    return changes_any(
        connection,
        """
        INSERT INTO bounces (organisation, mailing, recipient, kind, status, diagnostic, fingerprint)
        VALUES (:organisation, :mailing, :recipient, :kind, :status, :diagnostic, :fingerprint)
        ON CONFLICT (organisation, mailing, recipient) DO UPDATE
        SET kind = excluded.kind, at = excluded.at, status = excluded.status, diagnostic = excluded.diagnostic,
            fingerprint = excluded.fingerprint
        WHERE bounces.kind < excluded.kind
        """,
        **asdict(token),
        **asdict(bounce),
    )


def known(connection: Connection, organisation: int, learner: int) -> bool:
    """Whether there is still a learner with this number."""
    return is_true(
        connection,
        """
        SELECT EXISTS (SELECT FROM learners l JOIN organisations o USING (organisation)
                       WHERE l.organisation = :organisation AND l.learner = :learner
                         AND l.standing IN ('active', 'inactive'))
        """,
        organisation=organisation,
        learner=learner,
    )


def record_complaint(connection: Connection, organisation: int, learner: int, announcement: str) -> None:
    """Write down that a learner complained of an announcement, if it is one that they got."""
    execute(
        connection,
        query("bounces.record_complaint"),
        organisation=organisation,
        learner=learner,
        announcement=announcement,
    )


def history(connection: Connection, token: Token, address: str) -> list[BounceKind | None]:
    """What became of the deliveries to an address of one recipient, in the order of time, from the first that bounced
    softly to the last, since a person lifted its suppression; None is one that did not bounce.

    Empty where too few bounced to look at the others.
    """
    found = column(
        connection,
        query("bounces.history_of_address"),
        organisation=token.organisation,
        recipient=token.recipient,
        fingerprint=token.fingerprint,
        address=address,
        enough=SOFT_IN_A_ROW,
    )
    return [None if kind is None else BounceKind(kind) for kind in found]


def came_back(connection: Connection, organisation: int, mailing: int) -> dict[str, int]:
    """How many deliveries of a mailing came back after the server had accepted them, by the kind of what came; none of
    a kind of which there are none."""
    found = tuples(
        connection,
        """
        SELECT CAST(kind AS text) AS kind, count(*) AS n FROM bounces
        WHERE organisation = :organisation AND mailing = :mailing GROUP BY bounces.kind ORDER BY bounces.kind
        """,
        organisation=organisation,
        mailing=mailing,
    )
    return dict(found)


def forget(connection: Connection, organisation: int, numbers: Sequence[int]) -> None:
    """Remove what came back from these learners, who are erased (S15)."""
    execute(
        connection,
        """
        DELETE FROM bounces b USING learners l
        WHERE l.organisation = :organisation AND l.learner = ANY(CAST(:numbers AS int[])) AND l.standing = 'deleted'
          AND b.organisation = :organisation AND b.recipient = l.learner
        """,
        organisation=organisation,
        numbers=list(numbers),
    )
