"""Envelope senders that say which delivery a report is about, and that nobody else can make (VERP).

`bounces@bounces.example.org` becomes `bounces+TOKEN@bounces.example.org`. The token is base32, for some servers change
the case of what they return: organisation, mailing and recipient in numbers, three bytes that say which address, eight
of a signature. The same delivery to the same address always has the same one.
"""

import binascii
import hmac
from base64 import b32decode, b32encode
from collections.abc import Iterator
from dataclasses import dataclass

#: Bytes of the signature: who guesses needs 2**63 tries, each a conversation with the server.
_SIGNATURE = 8
#: Bytes that tell one address from another: a learner whose address changed is not suppressed for the old one.
_FINGERPRINT = 3
#: Characters of the longest token: the greatest numbers in 19 bytes, fingerprint and signature.
LONGEST_TOKEN = 48


@dataclass(frozen=True, slots=True)
class Token:
    """What an envelope sender names: a delivery, and which address it went to."""

    organisation: int
    mailing: int
    recipient: int
    fingerprint: bytes


class ReturnPaths:
    """Makes and reads the envelope senders of a bounce address; with none (""), it makes and reads none."""

    def __init__(self, bounce_address: str, secret_key: str) -> None:
        self._local, _, self._domain = bounce_address.rpartition("@")
        self._key = hmac.digest(secret_key.encode(), b"rollcall: envelope senders", "sha256")

    def sender(self, organisation: int, mailing: int, recipient: int, address: str) -> str | None:
        """The envelope sender of a delivery; None where there is no bounce address."""
        if not self._domain:
            return None
        numbers = (organisation, mailing, recipient * 2 if recipient >= 0 else -recipient * 2 - 1)
        payload = b"".join(_varint(number) for number in numbers) + self.fingerprint(address)
        token = b32encode(payload + self._signature(payload)).decode().rstrip("=").lower()
        return f"{self._local}+{token}@{self._domain}"

    def fingerprint(self, address: str) -> bytes:
        """What tells an address from another, and tells nobody else which it is."""
        return hmac.digest(self._key, b"address " + address.lower().encode(errors="replace"), "sha256")[:_FINGERPRINT]

    def read(self, sender: str) -> Token | None:
        """What an envelope sender names, in whatever case it came back; None where it is not one of ours."""
        local, _, domain = sender.rpartition("@")
        base, _, text = local.rpartition("+")
        if not self._is_ours(base, domain) or len(text) > LONGEST_TOKEN:
            return None
        try:
            octets = b32decode(text.upper() + "=" * (-len(text) % 8))
        except (binascii.Error, ValueError):
            return None
        payload, signature = octets[:-_SIGNATURE], octets[-_SIGNATURE:]
        if not hmac.compare_digest(signature, self._signature(payload)):
            return None
        organisation, mailing, folded = _numbers(payload[:-_FINGERPRINT])
        recipient = folded // 2 if folded % 2 == 0 else -(folded + 1) // 2
        return Token(organisation, mailing, recipient, payload[-_FINGERPRINT:])

    def takes(self, recipient: str) -> bool:
        """Whether a report may be addressed so: an envelope sender of ours, or the bounce address itself."""
        local, _, domain = recipient.rpartition("@")
        return self._is_ours(local, domain) or self.read(recipient) is not None

    def _is_ours(self, local: str, domain: str) -> bool:
        return bool(self._domain) and (local.lower(), domain.lower()) == (self._local.lower(), self._domain.lower())

    def _signature(self, payload: bytes) -> bytes:
        return hmac.digest(self._key, b"token " + payload, "sha256")[:_SIGNATURE]


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; all but the last byte have the eighth bit set."""
    octets = bytearray()
    while number > 0x7F:
        octets.append(number & 0x7F | 0x80)
        number >>= 7
    octets.append(number)
    return bytes(octets)


def _numbers(octets: bytes) -> Iterator[int]:
    number = shift = 0
    for octet in octets:
        number |= (octet & 0x7F) << shift
        shift += 7
        if octet < 0x80:
            yield number
            number = shift = 0
