"""Webhooks: where events out are sent besides the stream; an organisation's, and those of the platform."""

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from config.database import transaction
from config.errors import BadField, Conflict, Forbidden, Invalid, NotFound
from config.phrases import OTHER_SECRET_KEY, THREE_KEYS, WEBHOOK_EXISTS
from config.runtime import Runtime
from tasks import webhooks
from tasks.acts.acting import Doing, act, of_all
from tasks.acts.paging import After, Limit, Page, PageAsked, keys_after, page
from tasks.events import TYPES_OUT

#: How long the key before is valid beside a new one.
OLD_KEY_FOR = timedelta(hours=24)

#: Characters of an id at most.
LONGEST_ID = 200


@dataclass(frozen=True, slots=True)
class WebhookAddition:
    """Where to, of which types (null, or an empty list: all), under which id (made up otherwise), and from when on."""

    url: str
    types: list[str] | None = None
    id: str | None = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class OneWebhook:
    """Which webhook."""

    id: str


@dataclass(frozen=True, slots=True)
class AttemptFilter:
    """Which attempts of a webhook: all, or those that failed."""

    id: str
    failures: bool = False
    limit: Limit = 100
    after: After | None = None


@dataclass(frozen=True, slots=True)
class Enabling:
    """Which webhook is sent to again; `skip`: never what was not sent until now."""

    id: str
    skip: bool = False


@dataclass(frozen=True, slots=True)
class Rotation:
    """Which webhook gets a new key; `now`: the key before is valid no more."""

    id: str
    now: bool = False


@dataclass(frozen=True, slots=True)
class Added:
    """A webhook that is new, or has a new key, which is shown this once."""

    id: str
    key: str
    old_key_until: datetime | None


@dataclass(frozen=True, slots=True)
class Changed:
    """What became of a webhook."""

    id: str
    state: str


@dataclass(frozen=True, slots=True)
class Tested:
    """What was answered to an event that says nothing."""

    id: str
    delivered: bool
    status: int | None
    problem: webhooks.Problem | None
    said: str
    milliseconds: int


@contextmanager
def _about(doing: Doing) -> Iterator[tuple[Connection, int]]:
    """A transaction about the webhooks of an organisation, with the rights of its people (R31), or of the platform."""
    if doing.about is None:
        with transaction(doing.runtime.engine, webhooks.PLATFORM) as connection:
            yield connection, webhooks.PLATFORM
    else:
        with doing.transaction() as connection:
            yield connection, doing.about.organisation


def _found(doing: Doing, connection: Connection, number: int, id_: str) -> webhooks.Webhook:
    found = webhooks.find(connection, number, id_)
    if found is None:
        of = "of the platform" if doing.about is None else f"of the organisation {doing.about.id!r}"
        raise NotFound(f"There is no webhook {id_!r} {of}.")
    return found


@act("webhooks.add", "POST webhooks", status=201)
def add(doing: Doing, asked: WebhookAddition) -> Added:
    """Send events somewhere from now on. Says the key they are signed with, this once."""
    try:
        found = webhooks.target(asked.url)
    except webhooks.BadUrl as problem:
        raise Invalid(f"the URL: {problem}", [BadField("/url", str(problem))]) from None
    if bad := webhooks.bad_types(asked.types or []):
        said = f"type {bad[0]} is none of {', '.join(TYPES_OUT)}"
        raise Invalid(said, [BadField("/types", said)])
    id_ = asked.id or secrets.token_hex(4)
    if not id_.isprintable() or len(id_) > LONGEST_ID:
        said = f"an id has at most {LONGEST_ID} characters, all of which can be seen"
        raise Invalid(f"id: {said}", [BadField("/id", said)])
    with _about(doing) as (connection, number):
        if webhooks.is_forbidden(found) and not doing.runtime.settings.rollcall_webhooks_private:
            raise Forbidden(
                "Webhooks may not lead to this machine or into private networks: ROLLCALL_WEBHOOKS_PRIVATE."
            )
        key, kept = webhooks.SigningKeys(doing.runtime.endpoints.secret_key).make()
        if not webhooks.add(connection, number, id_, asked.url, asked.types or None, kept, asked.since):
            raise Conflict(WEBHOOK_EXISTS(id=repr(id_)))
        doing.record(connection, id_, after={"state": webhooks.State.ENABLED, "types": asked.types or None})
    return Added(id_, key, None)


@act("webhooks.list", "GET webhooks")
def list_(doing: Doing, asked: PageAsked) -> Page[webhooks.Webhook]:
    """Webhooks and how they stand."""
    (after,) = keys_after(asked.after, tuple[str], doing.act, doing.number) or ("",)
    with _about(doing) as (connection, number):
        found = webhooks.webhooks(connection, number, after, asked.limit + 1)
    return page(found, asked.limit, lambda one: (one.id,), doing.act, doing.number)


@act("webhooks.show", "GET webhooks/{id}")
def show(doing: Doing, asked: OneWebhook) -> webhooks.Webhook:
    """One webhook, and how it stands."""
    with _about(doing) as (connection, number):
        return _found(doing, connection, number, asked.id)


@act("webhooks.log", "GET webhooks/{id}/log")
def log(doing: Doing, asked: AttemptFilter) -> Page[webhooks.Attempt]:
    """The last attempts, the newest first, and what was answered."""
    listed = (doing.act, doing.number, asked.id, asked.failures)
    before = keys_after(asked.after, tuple[datetime, int], *listed)
    with _about(doing) as (connection, number):
        _found(doing, connection, number, asked.id)
        found = webhooks.log(
            connection, number, asked.id, failures=asked.failures, limit=asked.limit + 1, before=before
        )
    return page(found, asked.limit, lambda one: (one.at, one.position), *listed)


@act("webhooks.remove", "DELETE webhooks/{id}")
def remove(doing: Doing, asked: OneWebhook) -> Changed:
    """Forget a webhook and its log."""
    with _about(doing) as (connection, number):
        before = _found(doing, connection, number, asked.id)
        webhooks.remove(connection, number, asked.id)
        doing.record(connection, asked.id, before={"state": before.state})
    return Changed(asked.id, "removed")


@act("webhooks.enable", "POST webhooks/{id}/enable")
def enable(doing: Doing, asked: Enabling) -> Changed:
    """Send to a webhook again, or try one that fails at once: first what was not sent, unless that is skipped."""
    with _about(doing) as (connection, number):
        before = _found(doing, connection, number, asked.id)
        webhooks.enable(connection, number, asked.id, skip=asked.skip)
        after = {"state": webhooks.State.ENABLED, "skipped": asked.skip}
        doing.record(connection, asked.id, before={"state": before.state}, after=after)
    return Changed(asked.id, webhooks.State.ENABLED)


@act("webhooks.disable", "POST webhooks/{id}/disable")
def disable(doing: Doing, asked: OneWebhook) -> Changed:
    """Send to a webhook no more, until it is enabled."""
    with _about(doing) as (connection, number):
        before = _found(doing, connection, number, asked.id)
        webhooks.disable(connection, number, asked.id)
        after = {"state": webhooks.State.DISABLED}
        doing.record(connection, asked.id, before={"state": before.state}, after=after)
    return Changed(asked.id, webhooks.State.DISABLED)


@act("webhooks.rotate", "POST webhooks/{id}/rotate")
def rotate(doing: Doing, asked: Rotation) -> Added:
    """Sign with a new key, which is said this once; for 24 hours with the key before beside it."""
    with _about(doing) as (connection, number):
        key, kept = webhooks.SigningKeys(doing.runtime.endpoints.secret_key).make()
        rotated = webhooks.rotate(connection, number, asked.id, kept, None if asked.now else OLD_KEY_FOR)
        found = _found(doing, connection, number, asked.id)
        if not rotated:
            raise Conflict(THREE_KEYS(until=f"{found.old_key_until:%Y-%m-%d %H:%M}"))
        doing.record(connection, asked.id, after={"old_key_until": found.old_key_until})
    return Added(asked.id, key, found.old_key_until)


@act("webhooks.test", "POST webhooks/{id}/test")
def test(doing: Doing, asked: OneWebhook) -> Tested:
    """Send an event that says nothing, rollcall.webhook.test, and say what was answered."""
    with _about(doing) as (connection, number):
        _found(doing, connection, number, asked.id)
        keyring = webhooks.keyring(connection, number, asked.id)
        assert keyring is not None  # noqa: S101 - it was found in this transaction
        doing.record(connection, asked.id)
    try:
        answer = asyncio.run(_tested(doing.runtime, keyring, doing.about.id if doing.about else ""))
    except webhooks.KeyUnreadable:
        raise Conflict(OTHER_SECRET_KEY(id=repr(asked.id))) from None
    return Tested(asked.id, answer.problem is None, answer.status, answer.problem, answer.said, answer.milliseconds)


async def _tested(runtime: Runtime, keyring: webhooks.Keyring, organisation: str) -> webhooks.Answer:
    server = webhooks.WebhookServer(runtime)
    try:
        return await server.test(keyring, organisation)
    finally:
        server.close()


#: The same acts, about the webhooks of the platform.
of_platform = {one.name: of_all(one) for one in (add, list_, show, log, remove, enable, disable, rotate, test)}
