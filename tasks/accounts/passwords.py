"""Passwords: what people choose, kept as argon2id (RFC 9106) by the second of the RFC's recommended settings."""

import unicodedata
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

#: Characters of a password at least: what NIST SP 800-63B asks for where there may be no second factor.
LEAST = 15

#: Characters of a password at most, so that nobody makes us hash a book.
MOST = 256

#: Different characters of a password at least.
LEAST_DIFFERENT = 5


@cache
def _hasher() -> PasswordHasher:
    return PasswordHasher()


def hash_password(password: str) -> str:
    """What is kept of a password; it takes 64 MiB and some 50 ms, by intent."""
    return _hasher().hash(_normal(password))


def is_password(kept: str | None, password: str) -> bool:
    """Whether this password is the one that was kept. It takes as long if none was, so that the time does not tell
    whether there is an account."""
    if len(password) > MOST:
        return False
    if kept is None:
        hash_password(password)
        return False
    try:
        return _hasher().verify(kept, _normal(password))
    except (VerificationError, InvalidHashError):
        return False


def is_outdated(kept: str) -> bool:
    """Whether a password was kept by other settings than ours."""
    return _hasher().check_needs_rehash(kept)


def fault_of(password: str, email: str) -> str | None:
    """What is wrong with a password that somebody chooses, as a sentence; None if it will do."""
    if not LEAST <= len(password) <= MOST:
        return f"A password has {LEAST} to {MOST} characters: a few words are easy to remember."
    name = email.partition("@")[0].lower()
    if email.lower() in password.lower() or (
        len(name) > 3 and password.lower().replace(name, "").strip("0123456789") == ""
    ):
        return "The password is made of the address: choose another."
    if len(set(password)) < LEAST_DIFFERENT:
        return f"A password has at least {LEAST_DIFFERENT} different characters."
    return None


def _normal(password: str) -> bytes:
    """The same octets whichever keyboard typed it."""
    return unicodedata.normalize("NFKC", password).encode(errors="surrogatepass")
