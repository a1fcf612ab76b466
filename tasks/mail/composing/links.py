"""Links that carry their own proof: whoever holds one may do the one thing that it is for, without signing in.

A token is 27 octets in base64url: the form of a token (1), the organisation's number (4), the learner's (4), and 18 of
BLAKE2b with a key over all that (RFC 7693), which takes a fifth of the time of HMAC-SHA256: one is made for each mail.
It says nothing about a person, and it does not expire: a mail may be opened years after it was sent, and to unsubscribe
does no harm then either.
"""

import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from hashlib import blake2b
from struct import Struct

#: What the key of these links is made for: no token signed for another purpose is one of them.
UNSUBSCRIBE = b"unsubscribe link"

#: The form of a token. Another one would have another number, and both be read for as long as mails with the first lie
#: in mailboxes.
FORM = 1

#: Where the page is, under `PUBLIC_URL`.
PATH = "/unsubscribe/"

#: What ends a link: a mail program leaves out a "-" at the end of one in plain text, and a token may end so.
END = "/"

_SAID = Struct(">BII")
_PROOF_OCTETS = 18
_TOKEN = re.compile(r"[A-Za-z0-9_-]{36}", re.ASCII)


class Links:
    """The links to unsubscribe that are signed with some keys: the first one signs, all are accepted."""

    def __init__(self, public_url: str, keys: Sequence[str]) -> None:
        """`public_url` is what the links begin with. Raises ValueError where there is no key."""
        if not keys:
            raise ValueError("links are signed with a key")
        self.base = public_url.rstrip("/") + PATH
        self._keys = [blake2b(key.encode(), person=UNSUBSCRIBE).digest() for key in keys]

    def token(self, organisation: int, learner: int) -> str:
        """What stands between `base` and `END` in the address where a learner unsubscribes from an organisation's
        announcements."""
        said = _SAID.pack(FORM, organisation, learner)
        return urlsafe_b64encode(said + _proof(self._keys[0], said)).decode()

    def read(self, token: str) -> tuple[int, int] | None:
        """The organisation and the learner of a token that we signed, else None; each takes as long as any other."""
        if not _TOKEN.fullmatch(token):
            return None
        octets = urlsafe_b64decode(token)
        said, proof = octets[: _SAID.size], octets[_SAID.size :]
        proofs = [hmac.compare_digest(_proof(key, said), proof) for key in self._keys]
        form, organisation, learner = _SAID.unpack(said)
        return (organisation, learner) if any(proofs) and form == FORM else None


def _proof(key: bytes, said: bytes) -> bytes:
    return blake2b(said, key=key, digest_size=_PROOF_OCTETS).digest()
