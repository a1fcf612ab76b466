"""Addresses that people sign in with."""

import re

#: Characters of an address at most (RFC 5321, 4.5.3.1.3).
LONGEST = 254

_ADDRESS = re.compile(r"[^\s@]+@[^\s@]+")


def as_email(text: str) -> str | None:
    """An address as it is kept, or None if it is none. Its capitals are made small: people type them as it comes."""
    text = text.strip()
    if not _ADDRESS.fullmatch(text) or len(text) > LONGEST or not text.isprintable():
        return None
    return re.sub("[A-Z]+", lambda capitals: capitals[0].lower(), text)
