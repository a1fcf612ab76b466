"""What an address is, how a server is told it, and by what two are compared. Pure."""

import re
from functools import lru_cache
from string import ascii_lowercase, ascii_uppercase

#: The longest address, in octets: RFC 5321 section 4.5.3.1.3, without the angle brackets.
LONGEST_ADDRESS = 254

_BEYOND_ASCII = r"\u007f-\u00a0\u00ad\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff\ufffd"
_ATOM = rf"""[^\u0001-\u0020"(),.:;<>@\[\\\]{_BEYOND_ASCII}]+"""
_END_OF_LABEL = rf"[^\u0001-\u002f\u003a-\u0040\u005b-\u005e\u0060\u007b-\u007e{_BEYOND_ASCII}]"
_LABEL = rf"{_END_OF_LABEL}(?:-*{_END_OF_LABEL})*"
#: A plain address (RFC 5321 section 4.1.2, RFC 6531): no dots side by side or at an end, no label that begins or ends
#: with a hyphen. Written so that it means the same to PostgreSQL, which judges the addresses of a file.
ADDRESS = rf"{_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})*"
_ADDRESS = re.compile(ADDRESS)

#: Capitals of ASCII, and no others: what a locale makes of letters changes from one to the next.
_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)


def mail_key(address: str) -> str:
    """By what addresses are compared; the function of PostgreSQL of that name does the same."""
    return address.strip().translate(_LOWER)


@lru_cache(maxsize=16)  # each mail asks twice: for its header, and for its envelope
def wire_address(address: str) -> str:
    """The address as a server is told it: an international domain in ASCII (IDNA 2008) where the local part is ASCII.

    Raises ValueError for what is not one plain `local@domain`: control characters, spaces, brackets, quotes, commas.
    """
    if not address.isprintable() or not _ADDRESS.fullmatch(address) or len(address.encode()) > LONGEST_ADDRESS:
        raise ValueError(f"{address!r} is not an address that mail can be sent to")
    if address.isascii():
        return address
    local, domain = address.split("@")
    return f"{local}@{ascii_domain(domain)}" if local.isascii() else address


def needs_smtputf8(address: str) -> bool:
    """Whether only a server that offers SMTPUTF8 (RFC 6531) can take this address: its local part is not ASCII."""
    return not address.rpartition("@")[0].isascii()


def ascii_domain(domain: str) -> str:
    """A domain as mail servers are told it (IDNA 2008). Raises ValueError for what is none."""
    if domain.isascii():
        return domain
    import idna  # noqa: PLC0415 - large, and nearly every domain is in ASCII

    try:
        return idna.encode(domain, uts46=True).decode()
    except idna.IDNAError as error:
        raise ValueError(f"{domain!r} is not a domain that mail can be sent to: {error}") from error
