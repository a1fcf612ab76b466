"""Every setting, typed, and checked once at the start."""

import re
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qs, parse_qsl, unquote, urlencode, urlsplit, urlunsplit

import idna
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from config.signing import read_key
from config.webhooks import PREFIX, decoded_key

#: One part of a name in DNS.
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
#: Characters of the bounce address before the @, so that with a token it stays within 64 (RFC 5321 4.5.3.1.1).
LONGEST_BOUNCE_NAME = 15


class ConfigurationError(Exception):
    """A setting is missing or wrong; the message names it and says what to do."""


class Settings(BaseSettings):
    """What the environment says. Empty variables count as unset."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", hide_input_in_errors=True)

    database_url: SecretStr | None = Field(None, description="PostgreSQL 15 or newer; unset: an embedded one")
    redis_url: SecretStr | None = Field(None, description="Redis 7 or Valkey 8, or newer; unset: an embedded one")
    smtp_url: SecretStr | None = Field(None, description="mail server; unset: an embedded one that keeps all mail")
    mail_from: str | None = Field(None, description="sender of every mail; needed when SMTP_URL is set")
    public_url: str | None = Field(None, description="base of links; needed when SMTP_URL is set")
    secret_key: SecretStr | None = Field(
        None, description="key for signed links, or several with commas: the first signs; needed when SMTP_URL is set"
    )
    bounce_address: str | None = Field(
        None, description="reports come back to addresses made of it; unset with SMTP_URL: to MAIL_FROM"
    )
    dkim_key: SecretStr | None = Field(None, description="private key to sign mail with: a PEM, or the file it is in")
    dkim_selector: str | None = Field(None, description="name its public half has in DNS; needed when DKIM_KEY is set")
    dkim_domain: str | None = Field(
        None, description="domain that signs: that of MAIL_FROM, which it is when unset, or a parent"
    )

    rollcall_home: Path = Field(Path(".rollcall"), description="where embedded services and local state live")
    rollcall_durable: bool = Field(True, description="whether embedded servers survive a power cut; off for tests only")
    rollcall_log: Literal["console", "json"] = Field("console", description="how log lines are written")
    rollcall_log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level logged")

    rollcall_waiting_seconds: float = Field(3600, ge=0, description="how long an event waits for what it names (R6)")
    rollcall_notice_window_seconds: float = Field(86400, ge=0, description="no second notice within this time (R12)")
    rollcall_grace_seconds: float = Field(3600, ge=0, description="how late a scheduled mailing may still fire (R20)")
    rollcall_skew_seconds: float = Field(300, ge=0, description="how far ahead of our clock an event's time may be")
    rollcall_start_lead_seconds: float = Field(
        3600, ge=0, description="how long before its enrolment a start still counts (S12)"
    )
    rollcall_lease_seconds: float = Field(
        15, gt=0, description="how long a worker may be silent before its work is due"
    )
    rollcall_offer_seconds: float = Field(5, gt=0, description="how long a wake-up may be lost before it is repeated")
    rollcall_retry_seconds: float = Field(
        30, gt=0, description="first pause before another try; doubles, up to an hour"
    )
    rollcall_mail_attempts: int = Field(5, ge=1, description="tries of one mail before it has failed")
    rollcall_mail_patience_seconds: float = Field(
        432_000, ge=0, description="how long a server that asks for patience, or is away, is tried"
    )
    rollcall_mail_rate: float = Field(0, ge=0, description="mails a second of all workers together; 0: no limit")
    rollcall_mail_domain_rate: float = Field(0, ge=0, description="of these, to one recipient domain; 0: no limit")
    rollcall_drain_seconds: float = Field(25, gt=0, description="how long `up` waits for its processes to finish")

    rollcall_events_key: SecretStr | None = Field(
        None, description="key that posted events are signed with, whsec_…, or several with commas; unset: SECRET_KEY"
    )
    rollcall_events_bytes: int = Field(
        6_000_000, ge=1000, le=100_000_000, description="largest body of a post to /events"
    )
    rollcall_events_seconds: float = Field(30, gt=0, description="how long such a body may take")
    rollcall_web_host: str = Field("127.0.0.1", description="where the web process listens")
    rollcall_web_port: int = Field(0, ge=0, le=65535, description="its port; 0: a free one is found")
    rollcall_bounces_host: str = Field("127.0.0.1", description="where reports on mail are taken")
    rollcall_bounces_port: int = Field(0, ge=0, le=65535, description="its port; 0: a free one is found")
    rollcall_bounces_protocol: Literal["lmtp", "smtp"] = Field("lmtp", description="what is spoken there")
    rollcall_chunk: int = Field(
        5000,
        ge=1,
        le=5000,
        description="enrolments that one transaction writes: of a fan-out, or of events of one organisation",
    )
    rollcall_mail_batch: int = Field(1000, ge=1, le=5000, description="mails a worker claims at once")
    rollcall_mail_group: int = Field(200, ge=1, le=200, description="mails begun and recorded together")
    rollcall_in_flight: int = Field(8, ge=1, description="pieces of work offered to one queue at once")
    rollcall_ingress_batch: int = Field(500, ge=1, le=5000, description="events read and applied in one transaction")
    rollcall_smtp_connections: int = Field(10, ge=1, le=100, description="connections of one mail worker")
    rollcall_smtp_timeout_seconds: float = Field(30, gt=0, description="patience with one answer of the mail server")

    rollcall_webhooks_private: bool = Field(
        False, description="whether webhooks may lead to private addresses, this machine's included"
    )
    rollcall_webhooks_timeout_seconds: float = Field(
        15, gt=0, description="patience with one answer to a webhook, looking up and connecting included"
    )
    rollcall_webhooks_patience_seconds: float = Field(
        86_400, ge=0, description="how long a webhook may fail before it is disabled"
    )

    rollcall_browser: str | None = Field(None, description="browser for pictures of mail; unset: one on the PATH")

    @field_validator("database_url")
    @classmethod
    def _postgresql(cls, url: SecretStr | None) -> SecretStr | None:
        url = _with_scheme(url, {"postgresql", "postgres"}, "postgresql://user@host/name")
        return None if url is None else SecretStr(_verified_postgresql(url.get_secret_value()))

    @field_validator("redis_url")
    @classmethod
    def _redis(cls, url: SecretStr | None) -> SecretStr | None:
        url = _with_scheme(url, {"redis", "rediss", "unix"}, "redis://host:6379/0")
        if url is not None:
            _refuse_open_redis(url.get_secret_value())
        return url

    @field_validator("smtp_url")
    @classmethod
    def _smtp(cls, url: SecretStr | None) -> SecretStr | None:
        url = _with_scheme(url, {"smtp", "smtps"}, "smtp://user:pass@host:587?tls=starttls")
        if url is not None:
            SmtpServer.parse(url.get_secret_value())
        return url

    @field_validator("mail_from")
    @classmethod
    def _sender(cls, mail_from: str | None) -> str | None:
        if mail_from is not None:
            sender_address(mail_from)
        return mail_from

    @field_validator("public_url")
    @classmethod
    def _base(cls, url: str | None) -> str | None:
        if url is None:
            return None
        _with_scheme(SecretStr(url), {"http", "https"}, "https://rollcall.example.org")
        parts = urlsplit(url)
        if not parts.hostname or not re.fullmatch(r"[!#-%(-;=?-~]+", url):
            raise ValueError("must be a URL like https://rollcall.example.org")
        if parts.query or parts.fragment or parts.username is not None:
            raise ValueError("links are made by adding to it: leave out names, ? and #")
        return url.rstrip("/")

    @field_validator("secret_key", "rollcall_events_key")
    @classmethod
    def _keys(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and not keys_in(key.get_secret_value()):
            raise ValueError("holds no key")
        return key

    @field_validator("rollcall_events_key")
    @classmethod
    def _in_base64(cls, key: SecretStr | None) -> SecretStr | None:
        for number, one in enumerate(keys_in(key.get_secret_value()) if key is not None else [], 1):
            if one.startswith(PREFIX) and decoded_key(one.removeprefix(PREFIX)) is None:
                raise ValueError(f"after {PREFIX} comes base64, and in key {number} it does not")
        return key

    @field_validator("dkim_key")
    @classmethod
    def _signing_key(cls, key: SecretStr | None) -> SecretStr | None:
        return None if key is None else SecretStr(_pem(key.get_secret_value()))

    @field_validator("dkim_selector", "dkim_domain")
    @classmethod
    def _in_dns(cls, name: str | None) -> str | None:
        if name is not None and not re.fullmatch(rf"{_LABEL}(\.{_LABEL})*", name):
            raise ValueError("must be a name as it stands in DNS, such as mail2026 or example.org")
        return None if name is None else name.lower()

    @model_validator(mode="after")
    def _signature(self) -> "Settings":
        if self.dkim_key is None:
            return self
        for name in ("mail_from", "dkim_selector"):
            if getattr(self, name) is None:
                raise ValueError(f"{name.upper()} must be set when DKIM_KEY is set")
        if not f".{self.sender_domain}".endswith(f".{self.signing_domain}"):
            raise ValueError("DKIM_DOMAIN must be the domain of MAIL_FROM or a parent of it")
        return self

    @property
    def sender_domain(self) -> str:
        """The domain of `MAIL_FROM`, or nothing where it is not set."""
        return sender_address(self.mail_from).rpartition("@")[2].lower() if self.mail_from else ""

    @property
    def signing_domain(self) -> str:
        """The domain that signs mail."""
        return self.dkim_domain or self.sender_domain

    @field_validator("bounce_address")
    @classmethod
    def _bounces(cls, bounce_address: str | None) -> str | None:
        if bounce_address is None:
            return None
        address = sender_address(bounce_address)
        if len(address.rpartition("@")[0]) > LONGEST_BOUNCE_NAME:
            raise ValueError(f"must have at most {LONGEST_BOUNCE_NAME} characters before the @: each mail adds 49")
        return address

    @model_validator(mode="after")
    def _mail_identity(self) -> "Settings":
        if self.smtp_url is not None:
            for name in ("mail_from", "public_url", "secret_key"):
                if getattr(self, name) is None:
                    raise ValueError(f"{name.upper()} must be set when SMTP_URL is set")
        return self


def sender_address(mail_from: str) -> str:
    """The address in `MAIL_FROM`, which is `address` or `Name <address>`; an international domain in ASCII."""
    local, _, domain = mail_from.strip().removesuffix(">").rpartition("<")[2].rpartition("@")
    try:
        ascii_domain = domain if domain.isascii() else idna.encode(domain, uts46=True).decode()
    except idna.IDNAError:
        ascii_domain = ""
    if not re.fullmatch(r"[!#-'*+\-./0-9=?A-Z^_`a-z{|}~]+", local) or not re.fullmatch(r"[A-Za-z0-9.-]+", ascii_domain):
        raise ValueError("must be a mail address, such as Learning <learning@example.org>")
    return f"{local}@{ascii_domain}"


def keys_in(secret_key: str) -> list[str]:
    """The keys in `SECRET_KEY`: the first one signs, all are accepted, so that one can take another's place."""
    return [key for key in map(str.strip, secret_key.split(",")) if key]


def _pem(key: str) -> str:
    """The PEM that `DKIM_KEY` is or names, once it is known to be a key."""
    pem = key.replace("\\n", "\n")
    if "-----BEGIN" not in pem:
        try:
            pem = Path(key).read_text(encoding="ascii")
        except (OSError, ValueError):  # its message would quote what stands there, and that may be a key
            raise ValueError("is neither a private key in PEM nor a file that can be read") from None
    read_key(pem)
    return pem


class SmtpServer:
    """A mail server, as `SMTP_URL` names it."""

    def __init__(self, host: str, port: int, tls: Literal["none", "starttls", "implicit"], user: str | None) -> None:
        self.host = host
        self.port = port
        self.tls = tls
        self.user = user
        self.password: str | None = None

    @classmethod
    def parse(cls, url: str) -> "SmtpServer":
        """Read an SMTP URL. Refuses credentials over a plain connection, unless the host is loopback."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        if not host:
            raise ValueError("SMTP_URL names no host")
        choice = parse_qs(parts.query).get("tls", ["starttls"])[0]
        if parts.scheme == "smtps":
            server = cls(host, parts.port or 465, "implicit", parts.username)
        elif choice == "starttls":
            server = cls(host, parts.port or 587, "starttls", parts.username)
        elif choice == "none":
            server = cls(host, parts.port or 25, "none", parts.username)
        else:
            raise ValueError("SMTP_URL: tls must be starttls or none")
        server.user = unquote(parts.username) if parts.username else None
        server.password = unquote(parts.password) if parts.password else None
        if server.tls == "none" and server.user and not is_here(host):
            raise ValueError("SMTP_URL: credentials are not sent over a plain connection; use tls=starttls or smtps://")
        return server


def is_here(host: str | None) -> bool:
    """Whether a connection to this host stays on this machine: a socket, or loopback."""
    if not host or host.startswith("/") or host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _verified_postgresql(url: str) -> str:
    """The URL, with certificates verified where it leaves this machine (libpq would not, unless told to)."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if is_here(options.get("host", parts.hostname)):
        return url
    mode = options.setdefault("sslmode", "verify-full")
    if mode == "disable" and parts.password is None and "password" not in options:
        return url
    if mode not in {"verify-full", "verify-ca"}:
        raise ValueError(f"sslmode={mode} would send the password without knowing to whom; use sslmode=verify-full")
    options.setdefault("sslrootcert", "system")
    return urlunsplit(parts._replace(query=urlencode(options)))


def _refuse_open_redis(url: str) -> None:
    """Refuse to send a password over a connection that is not encrypted, or to a server that is not verified."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    if parts.scheme == "rediss" and options.get("ssl_cert_reqs", "required") != "required":
        raise ValueError("certificates are always verified; leave ssl_cert_reqs out")
    if parts.scheme == "redis" and parts.password is not None and not is_here(parts.hostname):
        raise ValueError("a password is not sent over a plain connection; use rediss://")


def _with_scheme(url: SecretStr | None, schemes: set[str], example: str) -> SecretStr | None:
    if url is None:
        return None
    parts = urlsplit(url.get_secret_value())
    if parts.scheme not in schemes:
        raise ValueError(f"must be a URL like {example}")
    try:
        _ = parts.port
    except ValueError:  # its message would quote what stands there, and that may be a piece of the password
        raise ValueError(f"has no port where one belongs; it reads {example}, special characters as %XX") from None
    return url


@lru_cache
def load_settings() -> Settings:
    """Read the environment, or raise `ConfigurationError` with one line that names the variable at fault."""
    try:
        return Settings()
    except ValidationError as problem:
        first = problem.errors(include_input=False, include_url=False)[0]
        name = str(first["loc"][0]).upper() + ": " if first["loc"] else ""
        raise ConfigurationError(f"{name}{first['msg'].removeprefix('Value error, ')}") from None


def table() -> list[str]:
    """Every setting as a row of the README's table: name, default, meaning."""
    lines = []
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None else str(field.default)
        lines.append(f"| `{name.upper()}` | {default} | {field.description} |")
    return lines
