"""The Message-IDs of our mail: the same for the same mailing and recipient, however often asked (R19)."""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from struct import iter_unpack
from typing import TYPE_CHECKING

from tasks.mail.addresses import ascii_domain
from tasks.mail.rules import Kind

if TYPE_CHECKING:
    from tasks.mail.ledger.gate import Recipient
    from tasks.mail.ledger.mailings import Mailing

#: The first octets of a digest, which are the number of a Message-ID.
NUMBER_OCTETS = 8


class MessageIds:
    """The Message-IDs under a domain that begin with the same parts, such as all those of a mailing: `<digest@domain>`,
    the same for the same parts, however often asked (R19)."""

    def __init__(self, parts: Iterable[str], domain: str) -> None:
        self._copy_of_begun = blake2b(length_prefixed(parts), digest_size=20).copy
        self._ends = f"@{ascii_domain(domain)}>"

    def of(self, last: str, digest: bytes = b"") -> str:
        """The one whose last part is this. `digest`: what `digest` made of it, where it did before."""
        return f"<{(digest or self.digest(last)).hex()}{self._ends}"

    def number(self, last: str) -> int:
        """The number of the one whose last part is this: by it a Message-ID is remembered, in eight bytes."""
        return int.from_bytes(self.digest(last)[:NUMBER_OCTETS], signed=True)

    def digest(self, last: str) -> bytes:
        """For each mail: what `length_prefixed` makes of one part more."""
        octets, made = last.encode(errors="replace"), self._copy_of_begun()
        made.update(len(octets).to_bytes(8, "big") + octets)
        return made.digest()


def number_of(digits: str) -> int:
    """The number of the Message-ID that begins with these hexadecimal digits, as PostgreSQL keeps it."""
    return int.from_bytes(bytes.fromhex(digits[: NUMBER_OCTETS * 2]), signed=True)


def message_ids_of(organisation_id: str, kind: Kind, source: str, id_: str, domain: str = "") -> MessageIds:
    """The Message-IDs of a mailing, each by the id of its recipient; their numbers are the same under any domain."""
    return MessageIds((organisation_id, kind.value, source, id_), domain)


def numbers(mailing: "Mailing", recipients: Sequence["Recipient"]) -> list[int]:
    """The numbers of the Message-IDs of a mailing to these recipients."""
    return [number for (number,) in iter_unpack(">q", digested(mailing, recipients))]


def digested(mailing: "Mailing", recipients: Sequence["Recipient"]) -> bytes:
    """The numbers of the Message-IDs of a mailing to these recipients, eight bytes each, in network order. Each
    recipient is given the digest, which their message needs, too."""
    ids = message_ids_of(mailing.organisation_id, mailing.kind, mailing.source, mailing.id)
    for recipient in recipients:
        recipient.digest = ids.digest(recipient.id)
    return b"".join([recipient.digest[:NUMBER_OCTETS] for recipient in recipients])


def digest(octets: bytes) -> str:
    """Forty hexadecimal digits."""
    return blake2b(octets, digest_size=20).hexdigest()


def length_prefixed(parts: Iterable[str]) -> bytes:
    """The parts, each with its length, so that ("ab", "c") and ("a", "bc") differ."""
    octets = [part.encode(errors="replace") for part in parts]
    return b"".join([len(one).to_bytes(8, "big") + one for one in octets])
