"""Mailings of every kind and their recipients, for tests of what a message is made of."""

from collections.abc import Sequence

from config.addresses import sender_address
from tasks.mail import ReturnPaths
from tasks.mail.composing.dkim import Signer
from tasks.mail.composing.envelopes import Identity
from tasks.mail.composing.links import Links
from tasks.mail.ledger.gate import Recipient
from tasks.mail.ledger.mailings import Mailing
from tasks.mail.rules import Kind, Verdict

LINKS = Links("https://rollcall.example.org", ["only for tests"])
RETURNS = ReturnPaths("bounces@example.org", "only for tests")


def sender(mail_from: str = "Learning <learning@example.org>", *, signer: Signer | None = None) -> Identity:
    """Who sends."""
    return Identity(mail_from, sender_address(mail_from), LINKS, RETURNS, signer)


def mailing(kind: Kind, *, subject: str = "Fire safety", body: str = "Hello.", name: str = "Acme Academy") -> Mailing:
    """A mailing that is being sent."""
    return Mailing(
        organisation=3,
        organisation_id="acme",
        organisation_name=name,
        mailing=7,
        kind=kind,
        source="" if kind is Kind.ANNOUNCEMENT else "urn:platform",
        id=f"the {kind}",
        state="sending",
        policy="hold",
        subject=subject if kind is Kind.ANNOUNCEMENT else "",
        body=body if kind is Kind.ANNOUNCEMENT else "",
        figures='{"unit": "seat", "used": 81, "pool": 100}' if kind is Kind.SEATS else "{}",
    )


def recipient(
    *,
    address: str = "anna@example.com",
    first_name: str = "Anna",
    last_name: str = "Jones",
    number: int = 42,
    items: Sequence[str] = ("Fire safety at work",),
) -> Recipient:
    """Somebody who may be mailed."""
    return Recipient(
        recipient=number,
        id="L42",
        attempts=0,
        retried=False,
        verdict=Verdict.SEND,
        address=address,
        first_name=first_name,
        last_name=last_name,
        username="anna",
        locale="en",
        items=list(items),
    )
