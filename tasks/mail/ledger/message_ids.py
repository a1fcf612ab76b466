"""The Message-IDs of our mail: the same for the same mailing and recipient, however often asked (R19)."""

from collections.abc import Iterable, Sequence
from hashlib import blake2b

from tasks.mail.ledger.deliveries import Mailing, Recipient
from tasks.mail.rules import Kind


class MessageIds:
    """The Message-IDs under a domain that begin with the same parts, such as all those of a mailing: `<digest@domain>`,
    the same for the same parts, however often asked (R19)."""

    def __init__(self, parts: Iterable[str], domain: str) -> None:
        self._begun = told_apart(parts)
        self._domain = ascii_domain(domain)

    def of(self, last: str) -> str:
        """The one whose last part is this."""
        return f"<{digest(self._begun + told_apart((last,)))}@{self._domain}>"

    def number(self, last: str) -> int:
        """The number of the one whose last part is this: by it a Message-ID is remembered, in eight bytes."""
        return number_of(digest(self._begun + told_apart((last,))))


def number_of(digits: str) -> int:
    """The number of the Message-ID that begins with these hexadecimal digits, as PostgreSQL keeps it."""
    return int.from_bytes(bytes.fromhex(digits[:16]), signed=True)


def message_ids(organisation_id: str, kind: Kind, source: str, id_: str, domain: str = "") -> MessageIds:
    """The Message-IDs of a mailing, each by the id of its recipient; their numbers are the same under any domain."""
    return MessageIds((organisation_id, kind.value, source, id_), domain)


def numbers(mailing: Mailing, recipients: Sequence[Recipient]) -> list[int]:
    """The numbers of the Message-IDs of a mailing to these recipients."""
    ids = message_ids(mailing.organisation_id, mailing.kind, mailing.source, mailing.id)
    return [ids.number(recipient.id) for recipient in recipients]


def ascii_domain(domain: str) -> str:
    """A domain as mail servers are told it (IDNA 2008). Raises ValueError for what is none."""
    if domain.isascii():
        return domain
    import idna  # noqa: PLC0415 - large, and nearly every domain is in ASCII

    try:
        return idna.encode(domain, uts46=True).decode()
    except idna.IDNAError as error:
        raise ValueError(f"{domain!r} is not a domain that mail can be sent to: {error}") from error


def digest(octets: bytes) -> str:
    """Forty hexadecimal digits."""
    return blake2b(octets, digest_size=20).hexdigest()


def told_apart(parts: Iterable[str]) -> bytes:
    """The parts, each with its length, so that ("ab", "c") and ("a", "bc") differ."""
    octets = [part.encode(errors="replace") for part in parts]
    return b"".join([len(one).to_bytes(8, "big") + one for one in octets])
