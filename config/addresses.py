"""Addresses in settings: of mail and its domains, and of networks."""

import re
from ipaddress import IPv4Network, IPv6Network, ip_network

#: One part of a name in DNS.
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"


def is_dns_name(name: str) -> bool:
    """Whether it is a name as it stands in DNS."""
    return bool(re.fullmatch(rf"{_LABEL}(\.{_LABEL})*", name))


def sender_address(mail_from: str) -> str:
    """The address in `MAIL_FROM`, which is `address` or `Name <address>`; an international domain in ASCII."""
    local, _, domain = mail_from.strip().removesuffix(">").rpartition("<")[2].rpartition("@")
    ascii_domain = domain if domain.isascii() else _in_ascii(domain)
    atom = r"[!#-'*+\-/0-9=?A-Z^_`a-z{|}~]+"
    if not re.fullmatch(rf"{atom}(\.{atom})*", local) or not is_dns_name(ascii_domain) or not mail_from.isprintable():
        raise ValueError("must be a mail address, such as Learning <learning@example.org>")
    return f"{local}@{ascii_domain}"


def _in_ascii(domain: str) -> str:
    """An international domain in ASCII, or nothing where it is none."""
    import idna

    try:
        return idna.encode(domain, uts46=True).decode()
    except idna.IDNAError:
        return ""


def networks_in(addresses: str) -> list[IPv4Network | IPv6Network]:
    """The networks in a list of addresses and networks. Raises ValueError for one that is neither."""
    found = []
    for number, part in enumerate(filter(None, map(str.strip, addresses.split(","))), 1):
        try:
            found.append(ip_network(part))
        except ValueError:  # its message would quote what stands there, and that may be a secret in the wrong place
            raise ValueError(
                f"names addresses or networks, such as 10.0.0.7 or 10.0.0.0/24, and entry {number} is neither"
            ) from None
    return found
