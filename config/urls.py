"""The URLs that the environment names servers by: read as their clients read them, and refused where a secret would
travel openly or to nobody knows whom. No message quotes what stands in a URL, which may be a piece of a password."""

import os
import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

#: Options of a Redis URL that are passed on; all others are refused: some would weaken or redirect the connection.
_REDIS_OPTIONS = {
    "db", "username", "password", "protocol", "client_name", "max_connections", "socket_timeout",
    "socket_connect_timeout", "socket_keepalive", "health_check_interval", "retry_on_timeout",
}  # fmt: skip
_REDISS_OPTIONS = {
    "ssl_cert_reqs", "ssl_check_hostname", "ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_password"
}  # fmt: skip


#: A host as SQLAlchemy has it, which libpq has not: with its port.
_HOST_AND_PORT = re.compile(r"([^:/,]+|\[[^]]*\]):(\d+)")
#: Options of libpq that are whole numbers, and those that are one of some words: what else they are is found out only
#: as it connects, if at all.
_NUMBERS = {
    "connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout",
}  # fmt: skip
_CHOICES = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "sslnegotiation": ("postgres", "direct"),
    "channel_binding": ("disable", "prefer", "require"),
    "gssencmode": ("disable", "prefer", "require"),
    "target_session_attrs": ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
    "load_balance_hosts": ("disable", "random"),
}


#: Seconds that an answer of Redis must be waited for: a reader of events waits for `config.streams.BLOCK_SECONDS`.
LEAST_SOCKET_TIMEOUT = 3


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """A mail server, as `SMTP_URL` names it."""

    host: str
    port: int
    tls: Literal["none", "starttls", "implicit"]
    user: str | None = None
    password: str | None = None

    @classmethod
    def parse(cls, url: str) -> "SmtpServer":
        """Read an SMTP URL. Refuses credentials over a plain connection, unless the host is loopback."""
        parts = urlsplit(url)
        options = _options(parts)
        host, user, password = parts.hostname or "", unquote(parts.username or ""), unquote(parts.password or "")
        if not host:
            raise ValueError("names no host")
        if not re.fullmatch(r"[A-Za-z0-9._:%-]+", host) or parts.path not in {"", "/"}:
            raise ValueError("reads smtp://user:pass@host:587?tls=starttls, special characters as %XX")
        if options.keys() - {"tls"}:
            raise ValueError("has an option other than tls")
        if password and not user:
            raise ValueError("has a password and no user")
        tls: Literal["none", "starttls", "implicit"]
        match parts.scheme, options.get("tls"):
            case "smtps", None | "implicit":
                tls, port = "implicit", 465
            case "smtps", _:
                raise ValueError("smtps:// is encrypted from the start; leave tls out")
            case _, None | "starttls":
                tls, port = "starttls", 587
            case _, "none":
                tls, port = "none", 25
            case _:
                raise ValueError("tls must be starttls or none")
        if tls == "none" and user and not is_here(host):
            raise ValueError("credentials are not sent over a plain connection; use tls=starttls or smtps://")
        return cls(host, parts.port or port, tls, user or None, password or None)


@dataclass(frozen=True, slots=True)
class Sentinels:
    """Who says which server of a group is the primary by now, as a `REDIS_URL` of Redis Sentinel names them."""

    hosts: tuple[tuple[str, int], ...]
    #: What the sentinels call the group.
    group: str
    #: The URL of a server of the group, where a sentinel stands for the server: which one it is, they say.
    server: str
    user: str | None = None
    password: str | None = None

    @classmethod
    def parse(cls, url: str) -> "Sentinels | None":
        """Read a URL like `redis+sentinel://user:pass@a:26379,b:26379/group/0`; None for one of a Redis itself.

        Options are those of a Redis URL, and `sentinel_username` and `sentinel_password`. With `rediss+sentinel://`
        the sentinels are asked over TLS, too. Raises ValueError without a quotation.
        """
        if not url.startswith(("redis+sentinel:", "rediss+sentinel:")):
            return None
        found = re.fullmatch(
            r"(rediss?)\+sentinel://([^\s@/?#]*@)?([^\s@/?#]+)/([A-Za-z0-9._-]+)(/\d{1,9})?/?(\?[^\s#]*)?", url
        )
        hosts = (
            [re.fullmatch(r"([^:,[\]]+|\[[^\s,[\]]+\])(?::(\d{1,5}))?", host) for host in found[3].split(",")]
            if found
            else []
        )
        if found is None or not all(host and int(host[2] or 1) in range(1, 65536) for host in hosts):
            raise ValueError(
                "must read redis+sentinel://user:pass@host:26379,host:26379/group/0, special characters as %XX"
            )
        places = tuple((host[1].strip("[]"), int(host[2] or 26379)) for host in hosts if host)
        told = parse_qsl((found[6] or "")[1:], keep_blank_values=True)
        own = {name: value for name, value in told if name in {"sentinel_username", "sentinel_password"}}
        if own.keys() and len(told) - len(dict(told)):
            raise ValueError("says an option twice")
        elsewhere = next((host for host in places if not is_here(host[0])), places[0])
        named = f"[{elsewhere[0]}]" if ":" in elsewhere[0] else elsewhere[0]
        rest = "&".join(f"{quote(name)}={quote(value)}" for name, value in told if name not in own)
        server = f"{found[1]}://{found[2] or ''}{named}{found[5] or '/0'}{'?' * bool(rest)}{rest}"
        if own.get("sentinel_password") and found[1] == "redis" and not is_here(elsewhere[0]):
            raise ValueError("a password is not sent over a plain connection; use rediss+sentinel://")
        return cls(places, found[4], server, own.get("sentinel_username"), own.get("sentinel_password"))


def is_here(host: str | None) -> bool:
    """Whether a connection to this host stays on this machine: a socket, or loopback."""
    if not host or host.startswith("/") or host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def verified_postgresql(url: str) -> str:
    """The URL as libpq reads it, with certificates verified where it leaves this machine (libpq would not, unless told
    to). Several hosts may be written as libpq has them, or as SQLAlchemy: `?host=a:5432&host=b:5432`."""
    from psycopg.conninfo import conninfo_to_dict
    from psycopg.errors import ProgrammingError

    url = url.strip()
    start = re.match(r"postgres(?:ql)?://(?:[^@/]*@)?", url)
    if not start:
        raise ValueError("must be a URL like postgresql://user@host/name")
    place, _, query = url[start.end() :].partition("?")
    pairs = [
        (unquote(name), unquote(value)) for name, _, value in (pair.partition("=") for pair in query.split("&") if pair)
    ]
    hosts = [value for name, value in pairs if name == "host"]
    if len(hosts) > 1 or any(map(_HOST_AND_PORT.fullmatch, hosts)):
        ports = [value for name, value in pairs if name == "port"]
        found = [_HOST_AND_PORT.fullmatch(host) for host in hosts]
        if any("," in host for host in hosts) or (ports and any(found)):
            raise ValueError("names its hosts in two ways: write host=a,b and port=1,2")
        names = [one[1].strip("[]") if one else host for one, host in zip(found, hosts, strict=True)]
        numbers = ports or [one[2] if one else "5432" for one in found]
        rest = [(name, value) for name, value in pairs if name not in {"host", "port"}]
        pairs = [("host", ",".join(names)), ("port", ",".join(numbers)), *rest]
        url = start[0] + place + "?" + "&".join(f"{name}={quote(value, safe=',:/[]')}" for name, value in pairs)
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("says an option twice")
    try:
        said = {name: str(value) for name, value in conninfo_to_dict(url).items()}
    except ProgrammingError:  # its message would quote what stands there, and that may be a piece of the password
        raise ValueError(
            "is no URL as PostgreSQL has them, or has an option unknown to it; it reads postgresql://user@host:5432/name,"
            " special characters as %XX"
        ) from None
    ports = said.get("port", "").split(",")
    if not all(re.fullmatch(r"\d{1,5}|", port) and int(port or 1) in range(1, 65536) for port in ports):
        raise ValueError(
            "has no port where one belongs; it reads postgresql://user@host:5432/name, special characters as %XX"
        )
    for name in sorted(said.keys() & _NUMBERS):
        if not re.fullmatch(r"\s*-?\d{1,9}\s*", said[name]):
            raise ValueError(f"{name} must be a whole number")
    if {"service", "servicefile"} & said.keys() or ("PGSERVICE" in os.environ and "host" not in said):
        raise ValueError("names a service, of which the host cannot be told: name the host")
    more = _verification(said)
    for name in sorted(said.keys() & _CHOICES.keys()):
        if said[name] not in _CHOICES[name]:
            raise ValueError(f"{name} must be {' or '.join(_CHOICES[name])}")
    return url + ("&" if query else "?") * bool(more) + "&".join(more)


def has_options(url: str) -> bool:
    """Whether a URL to PostgreSQL has options for the server, that libpq sends as a session begins."""
    from psycopg.conninfo import conninfo_to_dict

    return bool(conninfo_to_dict(url).get("options"))


def _verification(said: dict[str, str]) -> list[str]:
    """What is missing in a URL to PostgreSQL, of which this is said, for its certificate to be verified."""
    names = (said.get("host") or os.environ.get("PGHOST", "")).split(",")
    addresses = (said.get("hostaddr") or os.environ.get("PGHOSTADDR", "")).split(",")
    if any(addresses) and len(names) != len(addresses) and any(names):
        raise ValueError("has not as many hostaddr as host")
    if any(is_here(name) and not is_here(address) for name, address in zip(names, addresses, strict=False)):
        raise ValueError(
            "hostaddr leads elsewhere than host, by which certificates are verified: name the server in host"
        )
    if all(map(is_here, names)):
        return []
    mode = said.get("sslmode") or os.environ.get("PGSSLMODE") or "verify-full"
    if mode == "disable" and not (said.get("password") or os.environ.get("PGPASSWORD")):
        return []
    if mode not in {"verify-full", "verify-ca"}:
        raise ValueError("sslmode must be verify-full: any other would send the password without knowing to whom")
    more = [] if said.get("sslmode") else [f"sslmode={mode}"]
    rooted = said.get("sslrootcert") or os.environ.get("PGSSLROOTCERT") or mode != "verify-full"
    return more if rooted else [*more, "sslrootcert=system"]


def check_smtp(url: str) -> None:
    """Raises ValueError for what is no URL of a mail server, or would send credentials openly."""
    check_scheme(url, {"smtp", "smtps"}, "smtp://user:pass@host:587?tls=starttls")
    SmtpServer.parse(url)


def check_redis(url: str) -> None:
    """Refuse to send a password over a connection that is not encrypted, or to a server that is not verified, and what
    the client would not understand; of sentinels, to a server of their group."""
    sentinels = Sentinels.parse(url)
    server = sentinels.server if sentinels else url
    check_scheme(server, {"redis", "rediss", "unix"}, "redis://host:6379/0")
    parts = urlsplit(server)
    options = _options(parts)
    secure = parts.scheme == "rediss"
    if not secure and any(name.startswith("ssl_") for name in options):
        raise ValueError("has options of encryption for a connection that is plain; use rediss://")
    if options.keys() - _REDIS_OPTIONS - (_REDISS_OPTIONS if secure else set()):
        raise ValueError(f"has an option other than {', '.join(sorted(_REDIS_OPTIONS | _REDISS_OPTIONS))}")
    if options.get("ssl_cert_reqs", "required") != "required":
        raise ValueError("certificates are always verified; leave ssl_cert_reqs out")
    if options.get("ssl_check_hostname", "true").lower() not in {"true", "1", "yes"}:
        raise ValueError("the host of a certificate is always checked; leave ssl_check_hostname out")
    for name in ("db", "protocol", "max_connections"):
        if not re.fullmatch(r"\d{1,9}", options.get(name, "0")):
            raise ValueError(f"{name} must be a whole number")
    for name in ("socket_timeout", "socket_connect_timeout", "health_check_interval"):
        if not re.fullmatch(r"\d{1,6}(\.\d+)?", options.get(name, "0")):
            raise ValueError(f"{name} must be a number of seconds")
    if 0 < float(options.get("socket_timeout") or 0) < LEAST_SOCKET_TIMEOUT:
        raise ValueError(f"socket_timeout must be at least {LEAST_SOCKET_TIMEOUT}: a reader waits 2 s for events")
    if parts.scheme != "unix" and not re.fullmatch(r"/?|/\d{1,9}/?", parts.path):
        raise ValueError("must name the database by its number, as in redis://host:6379/0")
    if parts.scheme == "unix" and not parts.path.strip("/"):
        raise ValueError("must name the socket, as in unix:///run/valkey.sock")
    named = parts.password is not None or "password" in options
    if parts.scheme == "redis" and named and not is_here(parts.hostname):
        raise ValueError("a password is not sent over a plain connection; use rediss://")


def _options(parts: SplitResult) -> dict[str, str]:
    """The options in the query of a URL, none of them twice."""
    if parts.fragment:
        raise ValueError("has a # where none belongs; write special characters as %XX")
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    if len(dict(pairs)) < len(pairs):
        raise ValueError("says an option twice")
    return dict(pairs)


def check_scheme(url: str, schemes: set[str], example: str) -> None:
    """Raises ValueError for what is no URL with one of these schemes, like the example."""
    misread = f"it reads {example}, special characters as %XX"
    try:
        parts = urlsplit(url)
        _ = parts.hostname
    except ValueError:  # its message would quote what stands there
        raise ValueError(f"is no URL; {misread}") from None
    if parts.scheme not in schemes:
        raise ValueError(f"must be a URL like {example}")
    try:
        port = parts.port
    except ValueError:  # its message would quote what stands there, and that may be a piece of the password
        port = 0
    if port == 0:
        raise ValueError(f"has no port where one belongs; {misread}")
    if re.search(r"[\s\x00-\x1f]", url):
        raise ValueError(f"has a blank in it; {misread}")


def base_of_links(url: str) -> str:
    """What links begin with, without a slash at the end. Raises ValueError for a URL that cannot be added to."""
    check_scheme(url, {"http", "https"}, "https://rollcall.example.org")
    parts = urlsplit(url)
    if not parts.hostname or not re.fullmatch(r"[!#-%(-;=?-~]+", url):
        raise ValueError("must be a URL like https://rollcall.example.org")
    if "?" in url or "#" in url or parts.username is not None:
        raise ValueError("links are made by adding to it: leave out names, ? and #")
    return url.rstrip("/")
