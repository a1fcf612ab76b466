"""`python -m bench.compose`: what one personalised mail costs before it is on the wire, in microseconds of one core.

No server is needed. Each way makes the same announcement, text and HTML, with six merge fields, for the same people, in
alternating rounds; the first is what the standard library makes of it.
"""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, formataddr
from statistics import median

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tasks.mail import ReturnPaths
from tasks.mail.composing.branding import Branding
from tasks.mail.composing.dkim import Signer
from tasks.mail.composing.envelopes import Identity, compose
from tasks.mail.composing.links import Links
from tasks.mail.composing.merge import MergeField, tokens
from tasks.mail.composing.templates import announcement
from tasks.mail.ledger.gate import Recipient
from tasks.mail.ledger.mailings import Mailing
from tasks.mail.rules import Kind, Verdict

#: People written to in a round, and rounds.
PEOPLE = 2_000
ROUNDS = 9

#: What they are called; one in eight is not in ASCII.
_NAMES = ("Anna", "Jan", "Marie-Claire", "Pieter", "Zoë", "Mohammed", "Eva", "Tom")

_PARAGRAPH = (
    "On Monday the new course on **fire safety** opens for everybody. It takes an hour, in three parts, and ends with a"
    " short test. You can stop and go on whenever you like; what you did is kept.\n\n"
)
_BODY = (
    "Dear {{ first_name }} {{ last_name }},\n\n" + _PARAGRAPH + "You sign in as {{ username }}, with {{ email }}.\n\n"
    'Kind regards, {{ organisation }}\n\n*For {{ full_name }}, {{ first_name | default: "you" }} alone.*\n'
)

MAILING = Mailing(
    organisation=1,
    organisation_id="acme",
    organisation_name="Acme Academy",
    mailing=7,
    kind=Kind.ANNOUNCEMENT,
    source="",
    id="fire-safety",
    state="sending",
    policy="hold",
    subject="{{ first_name }}, fire safety opens on Monday",
    body=_BODY,
)

Way = Callable[[Recipient], bytes]


def people(n: int) -> list[Recipient]:
    """Recipients as the gate lets them through."""
    return [
        Recipient(
            recipient=number,
            id=f"L{number:06}",
            attempts=0,
            retried=False,
            verdict=Verdict.SEND,
            address=f"learner.{number}@example.org",
            first_name=_NAMES[number % len(_NAMES)],
            last_name=f"of House {number}",
            username=f"user{number}",
            locale="en",
            items=[],
        )
        for number in range(1, n + 1)
    ]


def ours(*, signer: Signer | None) -> Way:
    """The way of Rollcall."""
    links = Links("https://rollcall.example.org", ["a key for signed links"])
    returns = ReturnPaths("bounces@example.org", "a key for signed links")
    sender = Identity("Learning <learning@example.org>", "learning@example.org", links, returns, signer)
    return lambda recipient: compose(MAILING, recipient, sender).message


def by_the_standard_library(recipient: Recipient) -> bytes:
    """An `EmailMessage` for each recipient; its templates are rendered before, and their fields replaced."""
    values: dict[str, str | None] = {
        MergeField.FIRST_NAME: recipient.first_name,
        MergeField.LAST_NAME: recipient.last_name,
        MergeField.FULL_NAME: f"{recipient.first_name} {recipient.last_name}",
        MergeField.USERNAME: recipient.username,
        MergeField.EMAIL: recipient.address,
        MergeField.ORGANISATION: MAILING.organisation_name,
    }
    subject, html, text = (
        "".join(part if isinstance(part, str) else part.fill(values) for part in parts) for parts in _PARTS
    )
    message = EmailMessage(policy=SMTP)
    message["From"] = "Learning <learning@example.org>"
    message["To"] = formataddr((f"{recipient.first_name} {recipient.last_name}", recipient.address))
    message["Subject"] = subject
    message["Date"] = format_datetime(datetime.now(UTC))
    message["Message-ID"] = f"<{recipient.recipient}@example.org>"
    message.set_content(text)
    message.add_alternative(html, subtype="html")
    return message.as_bytes()


_PARTS = [
    tokens(said)
    for said in announcement(
        MAILING.subject, MAILING.body, Branding(MAILING.organisation_name, MAILING.logo, MAILING.colour)
    )
]


def ways() -> dict[str, Way]:
    """Each way, by its name."""
    keys: dict[str, RSAPrivateKey | Ed25519PrivateKey] = {
        "signed with Ed25519": Ed25519PrivateKey.generate(),
        "signed with RSA, 2,048 bits": generate_private_key(65537, 2048),
    }
    signed = {
        f"Rollcall, {name}": ours(
            signer=Signer(
                key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(), "s1", "example.org"
            )
        )
        for name, key in keys.items()
    }
    return {"EmailMessage": by_the_standard_library, "Rollcall": ours(signer=None), **signed}


def measure(rounds: int, recipients: Sequence[Recipient]) -> dict[str, list[float]]:
    """Microseconds a mail, of each way in each round."""
    found: dict[str, list[float]] = {}
    every = ways()
    for _ in range(rounds):
        for name, way in every.items():
            way(recipients[0])  # compiles
            few = recipients[: len(recipients) // (20 if way is by_the_standard_library else 1)]
            begun = time.process_time()
            for recipient in few:
                way(recipient)
            found.setdefault(name, []).append((time.process_time() - begun) / len(few) * 1e6)
    return found


def main() -> None:
    """Measure and print."""
    recipients = people(PEOPLE)
    size = len(ours(signer=None)(recipients[0]))
    print(f"{PEOPLE:,} announcements of {size:,} bytes, µs each: median of {ROUNDS} rounds (least–most)")  # noqa: T201
    for name, figures in measure(ROUNDS, recipients).items():
        print(f"{name:<40} {median(figures):8.1f}  ({min(figures):.1f}–{max(figures):.1f})")  # noqa: T201


if __name__ == "__main__":
    main()
