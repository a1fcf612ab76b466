"""Where a webhook may lead, what an answer means, and what follows from it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

from config.settings import is_here
from tasks.events import TYPES_OUT
from tasks.work import pause_before

#: Characters of a URL at most.
LONGEST_URL = 2000

#: Characters kept of what somebody said who did not take an event.
KEPT_CHARACTERS = 200

#: Characters of a date in HTTP at most.
LONGEST_DATE = 40

#: The shortest and the longest time for which somebody who asks for patience gets it.
LEAST_PAUSE = timedelta(seconds=1)
LONGEST_PAUSE = timedelta(hours=1)

#: A name as it is looked up, an IPv4 address included.
_NAME = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?")

#: IPv6 addresses that stand for IPv4 addresses behind a translator (RFC 6052).
_TRANSLATED = IPv6Network("64:ff9b::/96")


class State(StrEnum):
    """Whether events are sent to a webhook."""

    ENABLED = "enabled"
    DISABLED = "disabled"


#: Failures in a row without which no webhook is given up: where we were down ourselves, the receiver has not failed.
LEAST_FAILURES = 8


class Because(StrEnum):
    """Why a webhook is disabled."""

    GONE = "gone"
    FAILING = "failing"
    BY_HAND = "by hand"
    KILLED = "killed"


class Problem(StrEnum):
    """Why an event was not delivered."""

    REFUSED = "refused"
    REDIRECTED = "redirected"
    GONE = "gone"
    TOO_SLOW = "too slow"
    UNKNOWN_HOST = "unknown host"
    PRIVATE_ADDRESS = "private address"
    UNREACHABLE = "unreachable"
    NOT_TRUSTED = "not trusted"
    NOT_HTTP = "not HTTP"
    KEY_UNREADABLE = "key unreadable"
    NOT_SENT = "not sent"


class BadUrl(ValueError):
    """Events cannot be sent there; the message says why, and repeats nothing of the URL."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL, taken apart. `host` is without brackets; `authority` is what the header Host says."""

    encrypted: bool
    host: str
    port: int
    authority: str
    path: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one attempt. `said` is the beginning of what came with a refusal."""

    problem: Problem | None
    status: int | None = None
    said: str = ""
    retry_after: timedelta | None = None
    milliseconds: int = 0


@dataclass(frozen=True, slots=True)
class WebhookFailures:
    """How often in a row a webhook has failed, and since when."""

    failures: int = 0
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Next:
    """What follows from a failure: another try after a pause, or none."""

    failing: WebhookFailures
    pause: timedelta
    disabled: Because | None = None


def target(url: str) -> Target:
    """A URL that events may be sent to: https, or http on this machine. Raises `BadUrl`."""
    if len(url) > LONGEST_URL or not re.fullmatch(r"[!-~]+", url):
        raise BadUrl(f"a URL has at most {LONGEST_URL} characters, all of them ASCII and none a space")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise BadUrl("this is no URL") from None
    if parts.scheme not in {"http", "https"} or not host or port == 0 or not (":" in host or _NAME.fullmatch(host)):
        raise BadUrl("it reads https://host/path")
    if parts.username is not None or "#" in url:
        raise BadUrl("leave out names, passwords and #: a signature tells that it is us")
    encrypted = parts.scheme == "https"
    if not encrypted and not is_here(host):
        raise BadUrl("events leave this machine encrypted: it begins with https://")
    usual = 443 if encrypted else 80
    named = f"[{host}]" if ":" in host else host
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(encrypted, host, port or usual, named if port in {None, usual} else f"{named}:{port}", path)


def is_public(address: str) -> bool:
    """Whether an IP address is one of the Internet's, whatever it is wrapped in: neither this machine nor a network of
    ours may be reached by naming it in a URL."""
    ip: IPv4Address | IPv6Address = ip_address(address)
    if isinstance(ip, IPv6Address):
        if ip.is_site_local or ip.teredo:
            return False
        inner = ip.ipv4_mapped or ip.sixtofour or (IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _TRANSLATED else None)
        if inner is not None:
            ip = inner
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified or ip.is_link_local)


def is_forbidden(found: Target) -> bool:
    """Whether a target leads to this machine or a network of ours, by what it says alone. What its name stands for is
    looked up, and judged, each time a connection is made."""
    try:
        return not is_public(found.host)
    except ValueError:
        return is_here(found.host)


def judged(status: int) -> Problem | None:
    """What a status means: 2xx is taken, anything else is not. No redirection is followed."""
    if 200 <= status < 300:
        return None
    if status == 410:
        return Problem.GONE
    return Problem.REDIRECTED if 300 <= status < 400 else Problem.REFUSED


def patience(status: int, retry_after: str | None, now: datetime) -> timedelta | None:
    """How long somebody asks to be left alone (RFC 9110, 10.2.3): 429 and 503 alone, and for no longer than an hour."""
    if status not in {429, 503} or not retry_after:
        return None
    if re.fullmatch(r"[0-9]+", retry_after):
        asked = timedelta(seconds=min(int(retry_after[:10]), LONGEST_PAUSE.total_seconds()))
    elif len(retry_after) > LONGEST_DATE:
        return None
    else:
        try:
            until = parsedate_to_datetime(retry_after)
        except (ValueError, OverflowError):
            return None
        asked = (until if until.tzinfo else until.replace(tzinfo=UTC)) - now
    return min(max(asked, LEAST_PAUSE), LONGEST_PAUSE)


def after_failure(
    answer: Answer, before: WebhookFailures, now: datetime, *, first: timedelta, longest: timedelta, chance: float
) -> Next:
    """What follows from a failure: a pause that doubles from `first` on, or the one that was asked for, longer by up to
    a quarter (`chance` is from 0 to 1); no more tries after 410, or where nothing was taken for `longest`, in which we
    were there to try."""
    failing = WebhookFailures(before.failures + 1, before.since or now)
    pause = (answer.retry_after or pause_before(before.failures, first)) * (1 + chance / 4)
    if answer.problem == Problem.GONE:
        return Next(failing, pause, Because.GONE)
    tried = failing.failures >= LEAST_FAILURES and now - (before.since or now) >= longest
    return Next(failing, pause, Because.FAILING if tried else None)


def said(body: bytes) -> str:
    """The beginning of what was said, on one line."""
    text = body[: 4 * KEPT_CHARACTERS].decode("utf-8", "replace")
    return re.sub(r"[\s\x00-\x1f\x7f-\x9f]+", " ", text).strip()[:KEPT_CHARACTERS]


def bad_types(types: Sequence[str]) -> list[str]:
    """Those of these that no event out has as its type."""
    return [type_ for type_ in types if type_ not in TYPES_OUT]
