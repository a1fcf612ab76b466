"""Every setting, typed, and checked once at the start."""

import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from config.addresses import is_dns_name, networks_in, sender_address
from config.cells import read_cells
from config.environment import refuse_unknown
from config.errors import ConfigurationError
from config.keys import pem_of, refuse_weak_events_keys, refuse_weak_keys
from config.openid import checked_issuer, group_roles
from config.urls import SmtpServer, base_of_links, check_redis, check_smtp, has_options, is_here, verified_postgresql

#: Characters of the bounce address before the @, so that with a token it stays within 64 (RFC 5321 4.5.3.1.1).
LONGEST_BOUNCE_NAME = 15

#: Seconds of the longest time that a setting may be: ten years.
LONGEST_SECONDS = 315_360_000

#: What the environment may name, or leave to be embedded under `ROLLCALL_HOME`.
SERVERS = ("database", "redis", "smtp")

#: What `ROLLCALL_EMBEDDED` calls them, by their own names too.
_SERVER_NAMES = {
    "database": "database", "postgresql": "database", "postgres": "database", "database_url": "database",
    "redis": "redis", "valkey": "redis", "redis_url": "redis",
    "smtp": "smtp", "mail": "smtp", "mailbox": "smtp", "smtp_url": "smtp",
}  # fmt: skip

__all__ = [
    "Settings",
    "SmtpServer",
    "is_here",
    "load_settings",
    "table",
]


#: Which settings each of these needs besides.
_NEEDS = {
    "database_pooler_url": ("database_url",),
    "rollcall_oidc_issuer": ("rollcall_oidc_client_id", "rollcall_oidc_groups", "public_url"),
    "dkim_key": ("mail_from", "dkim_selector"),
    "smtp_url": ("mail_from", "public_url", "secret_key"),
}

Text = TypeVar("Text", str, SecretStr)


def _checked(check: Callable[[str], object]) -> AfterValidator:
    """A setting is kept as it is written, unless this raises ValueError for it."""

    def unchanged(given: Text) -> Text:
        check(given.get_secret_value() if isinstance(given, SecretStr) else given)
        return given

    return AfterValidator(unchanged)


def _secret(read: Callable[[str], str]) -> AfterValidator:
    """A secret setting is what this makes of it; it raises ValueError for what it cannot read."""
    return AfterValidator(lambda given: SecretStr(read(given.get_secret_value())))


def _servers(named: str) -> str:
    """The servers that may be embedded, by our names for them."""
    if named.lower() == "none":
        return named
    words = [word.strip().lower() for word in named.split(",")]
    if not {*words} <= _SERVER_NAMES.keys() | {"all"}:
        raise ValueError("names database, redis and smtp, those that may be embedded, or is none")
    return ",".join(SERVERS if "all" in words else sorted({_SERVER_NAMES[word] for word in words}))


def _refuse_options(url: str) -> None:
    if has_options(url):
        raise ValueError("takes no options, which poolers refuse: those of the database's own URL hold there too")


def _scopes(text: str) -> str:
    if "openid" not in text.split():
        raise ValueError("must have openid among them")
    return " ".join(text.split())


def _dns_name(name: str) -> str:
    if not is_dns_name(name):
        raise ValueError("must be a name as it stands in DNS, such as mail2026 or example.org")
    return name.lower()


def _bounce_address(said: str) -> str:
    address = sender_address(said)
    if len(address.rpartition("@")[0]) > LONGEST_BOUNCE_NAME:
        raise ValueError(f"must have at most {LONGEST_BOUNCE_NAME} characters before the @: each mail adds 49")
    return address


PostgresqlUrl: TypeAlias = Annotated[SecretStr, _secret(verified_postgresql)]
Keys: TypeAlias = Annotated[SecretStr, _checked(refuse_weak_keys)]
DnsName: TypeAlias = Annotated[str, AfterValidator(_dns_name)]


class Settings(BaseModel):
    """What the environment says. Empty variables count as unset."""

    model_config = ConfigDict(hide_input_in_errors=True, allow_inf_nan=False)

    def __init__(self, **given: object) -> None:
        known = Settings.model_fields
        said = {name.lower(): value for name, value in os.environ.items() if value and name.lower() in known}
        super().__init__(**said | given)

    database_url: PostgresqlUrl | None = Field(None, description="PostgreSQL 15 or newer; unset: an embedded one")
    database_replica_url: PostgresqlUrl | None = Field(
        None, description="a replica of it that rollcall verify reads in its place; unset: none"
    )
    database_pooler_url: Annotated[PostgresqlUrl, _checked(_refuse_options)] | None = Field(
        None,
        description="a pooler in front of it, such as PgBouncer, in transaction mode; unset: none",
    )
    redis_url: Annotated[SecretStr, _checked(check_redis)] | None = Field(
        None, description="Redis 7 or Valkey 8, or newer, also under Sentinel; unset: an embedded one"
    )
    smtp_url: Annotated[SecretStr, _checked(check_smtp)] | None = Field(
        None, description="mail server; unset: an embedded one that keeps all mail"
    )
    mail_from: Annotated[str, _checked(sender_address)] | None = Field(
        None, description="sender of every mail; needed when SMTP_URL is set"
    )
    public_url: Annotated[str, AfterValidator(base_of_links)] | None = Field(
        None, description="base of links; needed when SMTP_URL is set"
    )
    secret_key: Keys | None = Field(
        None, description="key for signed links, or several with commas: the first signs; needed when SMTP_URL is set"
    )
    bounce_address: Annotated[str, AfterValidator(_bounce_address)] | None = Field(
        None, description="reports come back to addresses made of it; unset with SMTP_URL: to MAIL_FROM"
    )
    dkim_key: Annotated[SecretStr, _secret(pem_of)] | None = Field(
        None, description="private key to sign mail with: a PEM, or the file it is in"
    )
    dkim_selector: DnsName | None = Field(
        None, description="name its public half has in DNS; needed when DKIM_KEY is set"
    )
    dkim_domain: DnsName | None = Field(
        None, description="domain that signs: that of MAIL_FROM, which it is when unset, or a parent"
    )

    rollcall_url: str | None = Field(
        None, description="a server far away, by its PUBLIC_URL: commands for admins work there; unset: this machine"
    )
    rollcall_token: SecretStr | None = Field(None, description="who acts there: a token (rollcall tokens add)")

    rollcall_cells: Annotated[SecretStr, _checked(read_cells)] | None = Field(
        None,
        description="the other cells, as JSON or the file it is in: a name, and database and redis URLs for each;"
        " unset: there are none",
    )
    rollcall_home: Path = Field(Path(".rollcall"), description="where embedded services and local state live")
    rollcall_embedded: Annotated[str, AfterValidator(_servers)] | None = Field(
        None,
        description="which of database, redis, smtp may be embedded, with commas, or none; unset: all or nothing",
    )
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
        30,
        gt=0,
        description="first pause before work, a webhook or a mail is tried again; later ones are longer, up to an hour",
    )
    rollcall_mail_attempts: int = Field(5, ge=1, description="tries of one mail before it has failed")
    rollcall_mail_patience_seconds: float = Field(
        432_000, ge=0, description="how long a server that asks for patience, or is away, is tried"
    )
    rollcall_mail_rate: float = Field(0, ge=0, description="mails a second of all workers together; 0: no limit")
    rollcall_mail_domain_rate: float = Field(0, ge=0, description="of these, to one recipient domain; 0: no limit")
    rollcall_drain_seconds: float = Field(25, gt=0, description="how long `up` waits for its processes to finish")

    rollcall_events_key: Annotated[Keys, _checked(refuse_weak_events_keys)] | None = Field(
        None,
        description="key that posted events are signed with, whsec_…, or several with commas; ORGANISATION=whsec_…"
        " signs for that one alone; unset: one is made of SECRET_KEY",
    )
    rollcall_events_secret_key: bool = Field(
        True, description="whether, while no such key is set, posts signed with SECRET_KEY itself are taken as before"
    )
    rollcall_events_bytes: int = Field(
        6_000_000, ge=1000, le=100_000_000, description="largest body of a post to /events"
    )
    rollcall_events_seconds: float = Field(30, gt=0, description="how long such a body may take")
    rollcall_web_host: str = Field("127.0.0.1", description="where the web process listens")
    rollcall_web_port: int = Field(0, ge=0, le=65535, description="its port; 0: a free one is found")
    rollcall_web_shared: bool = Field(
        False, description="whether several web processes of this user listen at that port; up --scale web=N sets it"
    )
    rollcall_web_proxies: Annotated[str, _checked(networks_in)] | None = Field(
        None,
        description="addresses or networks of proxies in front of it, with commas: X-Forwarded-For is theirs alone",
    )
    rollcall_metrics_host: str = Field(
        "127.0.0.1", description="where the web process serves /metrics, apart from the pages"
    )
    rollcall_metrics_port: int = Field(0, ge=0, le=65535, description="its port; 0: a free one is found")
    rollcall_probe_host: str = Field("127.0.0.1", description="where a process answers probes, /livez and /readyz")
    rollcall_probe_port: int = Field(
        0, ge=0, le=65535, description="its port, one for each process of a host; 0: it answers none"
    )
    rollcall_session_seconds: float = Field(
        43_200, gt=0, description="how long somebody stays signed in who does nothing"
    )
    rollcall_oidc_issuer: Annotated[str, AfterValidator(checked_issuer)] | None = Field(
        None,
        description="an OpenID provider that people sign in through, by its issuer's URL; unset: by password alone",
    )
    rollcall_oidc_client_id: str | None = Field(None, description="what the provider knows us by")
    rollcall_oidc_client_secret: SecretStr | None = Field(
        None, description="what it gave us to show that it is us; unset: a public client, by PKCE alone"
    )
    rollcall_oidc_groups: Annotated[str, _checked(group_roles)] | None = Field(
        None,
        description="roles of the provider's groups: GROUP=operator; GROUP=admin:ORG,ORG; or with `*` for the"
        " organisation, staff-*=reader",
    )
    rollcall_oidc_groups_claim: str = Field("groups", description="the claim that names somebody's groups")
    rollcall_oidc_scopes: Annotated[str, AfterValidator(_scopes)] = Field(
        "openid email", description="the scopes that are asked for"
    )
    rollcall_oidc_email_verified: bool = Field(
        False, description="whether the provider's addresses are people's own, if it does not say (email_verified)"
    )
    rollcall_keep_events_days: int = Field(
        30,
        ge=1,
        le=36_500,
        description="how long an event that is quarantined is kept, unless it is a start, a completion or a status",
    )
    rollcall_keep_ids_days: int = Field(
        400,
        ge=1,
        le=36_500,
        description="how long the id of an event in stays known at least, so that the same again changes nothing;"
        " they go by whole periods of that length",
    )
    rollcall_keep_outbox_days: int = Field(
        90,
        ge=1,
        le=36_500,
        description="how long an event out is kept once it is published; they go by whole months, in UTC",
    )
    rollcall_keep_deliveries_days: int = Field(
        400,
        ge=31,
        le=36_500,
        description="how long deliveries are kept after their mailing has ended, and attempts to send a mail that"
        " settled nothing; they go by whole months, in UTC",
    )
    rollcall_keep_audit_days: int = Field(
        730, ge=1, le=36_500, description="how long an entry of the audit log is kept; they go by whole months, in UTC"
    )
    rollcall_api_rate: float = Field(
        2000,
        gt=0,
        description="what a token may ask of one web process in a second: asking for access counts 1, another act 2, a"
        " list 10, an export 100",
    )
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

    @field_validator("*", mode="before")
    @classmethod
    def _without_margins(cls, given: object) -> object:
        """A mounted secret often ends with a newline."""
        if isinstance(given, str):
            given = given.strip()
            if not given.isascii() and any("\ud800" <= mark <= "\udfff" for mark in given):
                raise ValueError("is not in UTF-8")
        return given

    @field_validator("*")
    @classmethod
    def _not_for_ever(cls, given: object, about: ValidationInfo) -> object:
        if (about.field_name or "").endswith("_seconds") and isinstance(given, float) and given > LONGEST_SECONDS:
            raise ValueError(f"must be at most {LONGEST_SECONDS}: ten years")
        return given

    @model_validator(mode="after")
    def _complete(self) -> "Settings":
        for name, needs in _NEEDS.items():
            for needed in needs:
                if getattr(self, name) is not None and getattr(self, needed) is None:
                    raise ValueError(f"{needed.upper()} must be set when {name.upper()} is set")
        return self

    @model_validator(mode="after")
    def _signature(self) -> "Settings":
        if self.dkim_key is not None and not f".{self.sender_domain}".endswith(f".{self.signing_domain}"):
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


@lru_cache
def load_settings() -> Settings:
    """Read the environment, or raise `ConfigurationError` with one line that names the variable at fault."""
    refuse_unknown(os.environ, [name for name in Settings.model_fields if name.startswith("rollcall_")])
    try:
        return Settings()
    except ValidationError as problem:
        first = problem.errors(include_input=False, include_url=False)[0]
        name = str(first["loc"][0]).upper() + ": " if first["loc"] else ""
        raise ConfigurationError(f"{name}{first['msg'].removeprefix('Value error, ')}") from None


def table() -> list[str]:
    """Every setting as a row of the table in docs/settings.md: name, default, meaning."""
    lines = []
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None else str(field.default)
        lines.append(f"| `{name.upper()}` | {default} | {field.description} |")
    return lines
