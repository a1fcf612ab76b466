"""The Message-IDs of our mail: the same for the same mailing and recipient, however often asked (R19)."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING

from tasks.mail.addresses import ascii_domain
from tasks.mail.rules import Kind

if TYPE_CHECKING:
    from tasks.mail.ledger.gate import Recipient
    from tasks.mail.ledger.mailings import Mailing


class MessageIds:
    """The Message-IDs under a domain that begin with the same parts, such as all those of a mailing: `<digest@domain>`,
    the same for the same parts, however often asked (R19)."""

    def __init__(self, parts: Iterable[str], domain: str) -> None:
        self._begun = length_prefixed(parts)
        self._domain = ascii_domain(domain)

    def of(self, last: str) -> str:
        """The one whose last part is this."""
        return f"<{_digest(self._begun, last).hex()}@{self._domain}>"

    def number(self, last: str) -> int:
        """The number of the one whose last part is this: by it a Message-ID is remembered, in eight bytes."""
        return int.from_bytes(_digest(self._begun, last)[:8], signed=True)


@lru_cache(maxsize=1024)
def _digest(begun: bytes, last: str) -> bytes:
    """What `length_prefixed` makes of one more part. Each mail asks twice: for its number, and for its Message-ID."""
    octets = last.encode(errors="replace")
    return blake2b(begun + len(octets).to_bytes(8, "big") + octets, digest_size=20).digest()


def number_of(digits: str) -> int:
    """The number of the Message-ID that begins with these hexadecimal digits, as PostgreSQL keeps it."""
    return int.from_bytes(bytes.fromhex(digits[:16]), signed=True)


def message_ids_of(organisation_id: str, kind: Kind, source: str, id_: str, domain: str = "") -> MessageIds:
    """The Message-IDs of a mailing, each by the id of its recipient; their numbers are the same under any domain."""
    return MessageIds((organisation_id, kind.value, source, id_), domain)


def numbers(mailing: "Mailing", recipients: Sequence["Recipient"]) -> list[int]:
    """The numbers of the Message-IDs of a mailing to these recipients."""
    ids = message_ids_of(mailing.organisation_id, mailing.kind, mailing.source, mailing.id)
    return [ids.number(recipient.id) for recipient in recipients]


def digest(octets: bytes) -> str:
    """Forty hexadecimal digits."""
    return blake2b(octets, digest_size=20).hexdigest()


def length_prefixed(parts: Iterable[str]) -> bytes:
    """The parts, each with its length, so that ("ab", "c") and ("a", "bc") differ."""
    octets = [part.encode(errors="replace") for part in parts]
    return b"".join([len(one).to_bytes(8, "big") + one for one in octets])
