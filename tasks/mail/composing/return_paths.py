"""Envelope senders that say which delivery a report is about, and that nobody else can make (VERP).

`bounces@bounces.example.org` becomes `bounces+TOKEN@bounces.example.org`. The token is base32 (RFC 4648 section 7), for
some servers change the case of what they return: organisation, mailing and recipient in numbers, three bytes that say
which address, eight of a signature. The same delivery to the same address always has the same one.

One is made for each mail, so it is made with what is quick: BLAKE2 with a key (RFC 7693), and no module's base32.
"""

import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b

from config.keys import keys_in

#: Bytes of the signature: who guesses needs 2**63 tries, each a conversation with the server.
_SIGNATURE = 8
#: Bytes that tell one address from another: a learner whose address changed is not suppressed for the old one.
_FINGERPRINT = 3
#: Characters of the longest token: the greatest numbers in 19 bytes, fingerprint and signature.
LONGEST_TOKEN = 48

_DIGITS = "0123456789abcdefghijklmnopqrstuv"
_PAIRS = [high + low for high in _DIGITS for low in _DIGITS]
_TOKEN = re.compile(rf"[{_DIGITS}]{{1,{LONGEST_TOKEN}}}")


@dataclass(frozen=True, slots=True)
class Token:
    """What an envelope sender names: a delivery, and which address it went to."""

    organisation: int
    mailing: int
    recipient: int
    fingerprint: bytes


class ReturnPaths:
    """Makes and reads the envelope senders of a bounce address; with none (""), it makes and reads none.

    Of several keys, with commas between them, the first signs and all are accepted.
    """

    def __init__(self, bounce_address: str, secret_key: str) -> None:
        self._local, _, self._domain = bounce_address.rpartition("@")
        #: What signs, and what else is accepted; of links, too (`tasks/mail/composing/links.py`).
        self.keys = keys_in(secret_key)
        self._keys = [blake2b(key.encode(), person=b"rollcall senders").digest() for key in self.keys]

    def sender(self, organisation: int, mailing: int, recipient: int, address: str) -> str | None:
        """The envelope sender of a delivery; None where there is no bounce address."""
        if not self._domain:
            return None
        numbers = (organisation, mailing, recipient * 2 if recipient >= 0 else -recipient * 2 - 1)
        payload = b"".join(_varint(number) for number in numbers) + fingerprint(address)
        return f"{self._local}+{_base32(payload + _signature(self._keys[0], payload))}@{self._domain}"

    def read(self, sender: str) -> Token | None:
        """What an envelope sender names, in whatever case it came back; None where it is not one of ours."""
        local, _, domain = sender.rpartition("@")
        base, _, text = local.lower().rpartition("+")
        if not self._is_ours(base, domain) or not _TOKEN.fullmatch(text):
            return None
        octets = _octets(text)
        payload, signature = octets[:-_SIGNATURE], octets[-_SIGNATURE:]
        if not any(hmac.compare_digest(signature, _signature(key, payload)) for key in self._keys):
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


def fingerprint(address: str) -> bytes:
    """What tells an address from another, in whatever case; too short to tell which it is."""
    return blake2b(address.lower().encode(errors="replace"), digest_size=_FINGERPRINT).digest()


def _signature(key: bytes, payload: bytes) -> bytes:
    return blake2b(payload, key=key, digest_size=_SIGNATURE).digest()


def _base32(octets: bytes) -> str:
    """Five bits a character, filled up with zeros at the end; the case is lower."""
    bits = len(octets) * 8
    number = int.from_bytes(octets, "big") << 9
    pairs = [_PAIRS[number >> shift & 0x3FF] for shift in range(bits - 1, -1, -10)]
    return "".join(pairs)[: -(-bits // 5)]


def _octets(text: str) -> bytes:
    bits = len(text) * 5
    return (int(text, 32) >> bits % 8).to_bytes(bits // 8, "big")


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
