"""Random secrets: tokens of programs, links and sessions. They are kept as a hash, and known again by it alone.

A slow hash, such as argon2, protects what people choose and others can guess. Nobody guesses 256 random bits, so one
SHA-256 is enough; and a look-up by it tells nobody, by the time it takes, how near a guess was.
"""

import re
import secrets
from hashlib import sha256
from string import ascii_letters, digits
from zlib import crc32

#: What a token begins with, so that scanners of source code and logs find it.
PREFIX = "rck_"

ALPHABET = digits + ascii_letters

#: Characters of a secret: 62^43 > 2^256.
SECRET_LENGTH = 43

#: Characters of a token's checksum: 62^6 > 2^32.
CHECKSUM_LENGTH = 6

_TOKEN = re.compile(rf"{PREFIX}([0-9A-Za-z]{{{SECRET_LENGTH}}})([0-9A-Za-z]{{{CHECKSUM_LENGTH}}})")


def new_secret() -> str:
    """A secret of 256 bits, in letters and digits."""
    return "".join(secrets.choice(ALPHABET) for _ in range(SECRET_LENGTH))


def new_token() -> str:
    """A new token of a program: prefix, secret, checksum."""
    secret = new_secret()
    return PREFIX + secret + checksum(secret)


def checksum(secret: str) -> str:
    """The CRC-32 of a secret, by which a scanner tells a token from what only looks like one."""
    left, written = crc32(secret.encode()), ""
    for _ in range(CHECKSUM_LENGTH):
        left, digit = divmod(left, len(ALPHABET))
        written = ALPHABET[digit] + written
    return written


def is_token(text: str) -> bool:
    """Whether this can be a token: no other text is looked up."""
    found = _TOKEN.fullmatch(text)
    return found is not None and checksum(found[1]) == found[2]


def digest(secret: str) -> bytes:
    """What is kept of a secret: its SHA-256."""
    return sha256(secret.encode()).digest()
