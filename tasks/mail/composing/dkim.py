"""Signatures that say a mail is from the domain it claims: DKIM (RFC 6376), with RSA or Ed25519 (RFC 8463)."""

from base64 import b64encode
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from config import clock
from config.signing import read_key

#: What a signature covers where it is there. RFC 8058 section 4 asks for the last two.
COVERED = (
    "from", "to", "subject", "date", "message-id", "reply-to", "mime-version", "content-type", "auto-submitted",
    "precedence", "feedback-id", "list-unsubscribe", "list-unsubscribe-post",
)  # fmt: skip

#: What a signature names once more than it is there, so that nobody can add another one that a reader would be shown,
#: or that a mail program would unsubscribe with.
ONCE_MORE = (
    "from", "to", "cc", "subject", "date", "message-id", "reply-to", "mime-version", "content-type",
    "list-unsubscribe", "list-unsubscribe-post",
)  # fmt: skip

#: Characters of a signature, and names of headers, on one line.
_LINE = 72
_NAMES = 5


class Signer:
    """Signs messages for a domain, with the key whose public half is published under a selector."""

    def __init__(self, pem: str, selector: str, domain: str) -> None:
        """`pem` is a private key. Raises ValueError for what is not one that mail can be signed with."""
        self._key = read_key(pem)
        self._algorithm = "rsa" if isinstance(self._key, RSAPrivateKey) else "ed25519"
        self._selector = selector
        self._domain = domain

    def __call__(self, headers: Sequence[str], body: bytes) -> str:
        """The DKIM-Signature of a message: `headers` as they are sent, each with its line breaks, and its body.

        Relaxed in both. The body has to be in canonical form, as `message.py` makes every one.
        """
        said = {name.lower(): value for name, _, value in (header.partition(":") for header in headers)}
        covered = tuple(name for name in COVERED if name in said)
        unsigned = (
            f"v=1; a={self._algorithm}-sha256; c=relaxed/relaxed; d={self._domain}; s={self._selector};\r\n"
            f" t={int(clock.seconds())}; bh={b64encode(sha256(body).digest()).decode()};\r\n"
            f" h={_names(covered)};\r\n b="
        )
        lines = [f"{name}:{_relaxed(said[name])}\r\n" for name in covered]
        said_and_unsigned = "".join((*lines, f"dkim-signature:{_relaxed(unsigned)}")).encode()
        signature = b64encode(self._signed(said_and_unsigned)).decode()
        folded = "\r\n ".join(signature[start : start + _LINE] for start in range(0, len(signature), _LINE))
        return f"DKIM-Signature: {unsigned}{folded}\r\n"

    def _signed(self, lines: bytes) -> bytes:
        if isinstance(self._key, RSAPrivateKey):
            return self._key.sign(lines, PKCS1v15(), SHA256())
        return self._key.sign(sha256(lines).digest())

    def record(self) -> tuple[str, str]:
        """The name of the TXT record that verifiers look for, and what it is to say."""
        if isinstance(self._key, RSAPrivateKey):
            public = self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        else:
            public = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return (
            f"{self._selector}._domainkey.{self._domain}",
            f"v=DKIM1; k={self._algorithm}; p={b64encode(public).decode()}",
        )


@lru_cache(maxsize=16)
def _names(covered: tuple[str, ...]) -> str:
    """What a signature says it covers, folded."""
    names = (*covered, *ONCE_MORE)
    return ":\r\n ".join(":".join(names[start : start + _NAMES]) for start in range(0, len(names), _NAMES))


def _relaxed(value: str) -> str:
    """A header's value in relaxed canonical form (RFC 6376 section 3.4.2); ours are ASCII but for an address."""
    return " ".join(value.split())
