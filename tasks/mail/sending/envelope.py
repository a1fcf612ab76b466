"""One message for one recipient, and what a server's answer leaves of it."""

from dataclasses import dataclass

from tasks.mail.rules import MailAttempt, MailResult

#: Characters of a server's reply kept in the ledger.
LONGEST_REPLY = 500


@dataclass(slots=True)
class Envelope:
    """One message for one recipient. `dotless`: no line of it begins with a dot, so that looking for one (a tenth of
    what sending takes) can be left out. `utf8`: only a server that offers SMTPUTF8 can take it (RFC 6531)."""

    recipient: int
    sender: str
    address: str
    message: bytes
    dotless: bool = False
    utf8: bool = False


def storable(reply: bytes) -> str:
    """A reply as PostgreSQL can keep it, whatever bytes the server sent."""
    text = reply.strip()[:LONGEST_REPLY]
    if not text.isascii() or b"\0" in text:
        return text.replace(b"\0", b"").decode("ascii", "replace").replace("\ufffd", "?")
    return text.decode("ascii")


def attempt_of(
    envelope: Envelope,
    answer: MailResult,
    code: int | None = None,
    said: bytes | None = None,
    *,
    reply: str | None = None,
) -> MailAttempt:
    """What became of an envelope: its answer, the reply's code, and what was said, or our own words."""
    return MailAttempt(
        envelope.recipient,
        answer,
        code=code if code is not None and 200 <= code < 600 else None,
        reply=reply if said is None else storable(said),
    )
