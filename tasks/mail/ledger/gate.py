"""The gate that every mail passes, as SQL: who of a mailing may be mailed at this moment (R15)."""

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection

from config.database import is_true, rows
from config.sql import query
from tasks.mail.rules import FIRST, Before, RecipientKind, Verdict, kind_of

_VERDICTS = {str(verdict): verdict for verdict in Verdict}


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
    #: Where their mail goes.
    domain: str = field(init=False)
    #: The digest that is their Message-ID, once it was made.
    digest: bytes = field(default=b"", init=False)

    def __post_init__(self) -> None:
        self.verdict = _VERDICTS[self.verdict]
        self.domain = self.address.rpartition("@")[2].lower()

    @property
    def kind(self) -> RecipientKind:
        """Who they are to the organisation."""
        return kind_of(self.recipient)

    @property
    def before(self) -> Before:
        """What became of this mail before."""
        return Before(self.attempts, self.put_off, self.since) if self.attempts or self.put_off else FIRST


def at_the_gate(
    connection: Connection, organisation: int, mailing: int, low: int, high: int, limit: int
) -> list[Recipient]:
    """The next pending recipients of a stretch, each with the gate's verdict of this moment (R15).

    Asked immediately before each attempt; whatever was known earlier does not count.
    """
    return rows(
        connection,
        Recipient,
        query("mail.at_the_gate"),
        organisation=organisation,
        mailing=mailing,
        low=low,
        high=high,
        limit=limit,
    )


def stays_paused(connection: Connection, organisation: int, mailing: int) -> bool:
    """Whether a mailing, or all mail, is paused, and stays so until the transaction ends."""
    return is_true(connection, "SELECT paused_at IS NOT NULL FROM mail_control FOR SHARE") or is_true(
        connection,
        """
        SELECT state = 'paused' FROM mailings WHERE organisation = :organisation AND mailing = :mailing FOR SHARE
        """,
        organisation=organisation,
        mailing=mailing,
    )
