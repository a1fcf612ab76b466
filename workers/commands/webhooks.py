"""`rollcall webhooks`: where events out are sent besides the stream."""

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

import typer
from sqlalchemy import Connection

from config.database import transaction
from config.runtime import Runtime
from config.words import counted
from tasks import webhooks
from tasks.events import TYPES_OUT
from workers.commands.common import Json, Refused, asked, document, err, opened, out, table

app = typer.Typer(
    help="Webhooks: events out are sent to them besides the stream, signed as Standard Webhooks describes, in order,"
    " and again until they are taken. An organisation's are sent its events alone; the platform's own, everybody's.",
    no_args_is_help=True,
)

#: How long the key before is valid beside a new one.
OLD_KEY_FOR = timedelta(hours=24)

Id = Annotated[str, typer.Argument(metavar="ID", help="The webhook's id, as `list` shows it.")]
OptionalOrg = Annotated[
    str | None,
    typer.Option(
        "--organisation", "-o", metavar="ORG", help="The organisation it is of; the platform's own otherwise."
    ),
]


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
def _about(runtime: Runtime, organisation: str | None) -> Iterator[tuple[Connection, int]]:
    """A transaction about the webhooks of an organisation, with the rights of its people (R31), or of the platform."""
    if organisation is None:
        with transaction(runtime.engine, webhooks.PLATFORM) as connection:
            yield connection, webhooks.PLATFORM
    else:
        with asked(runtime, organisation) as (connection, org):
            yield connection, org.organisation


def _missing(id_: str, organisation: str | None) -> Refused:
    of = "of the platform" if organisation is None else f"of the organisation {organisation!r}"
    return Refused(f"There is no webhook {id_!r} {of}.")


@app.command()
def add(
    url: Annotated[str, typer.Argument(metavar="URL", help="Where to: https, or http on this machine.")],
    types: Annotated[
        list[str] | None,
        typer.Option("--type", metavar="TYPE", help="Send events of this type alone; may be repeated."),
    ] = None,
    organisation: OptionalOrg = None,
    id_: Annotated[str | None, typer.Option("--id", help="Its id; made up otherwise.")] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Send what was said since then, too (RFC 3339).")
    ] = None,
    json_: Json = False,
) -> None:
    """Send events somewhere from now on. Prints the key they are signed with, this once."""
    try:
        found = webhooks.target(url)
    except webhooks.BadUrl as problem:
        raise typer.BadParameter(f"the URL: {problem}") from None
    if bad := webhooks.bad_types(types or []):
        raise typer.BadParameter(f"--type {bad[0]} is none of {', '.join(TYPES_OUT)}")
    id_ = id_ or secrets.token_hex(4)
    if not id_.isprintable() or len(id_) > 200:
        raise typer.BadParameter("--id: an id has at most 200 characters, all of which can be seen")
    moment = None if since is None else _time(since)
    with opened("webhooks") as runtime, _about(runtime, organisation) as (connection, number):
        if webhooks.is_forbidden(found) and not runtime.settings.rollcall_webhooks_private:
            raise Refused("Webhooks may not lead to this machine or into private networks: ROLLCALL_WEBHOOKS_PRIVATE.")
        key, kept = webhooks.SigningKeys(runtime.endpoints.secret_key).make()
        if not webhooks.add(connection, number, id_, url, types or None, kept, moment):
            raise Refused(f"There is a webhook {id_!r} already: name another --id, or remove it first.")
    _show_key(Added(id_, key, None), json_=json_)


def _time(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise typer.BadParameter(f"--since {text}: it reads as in 2026-01-10T09:00:00Z")
    return moment


def _show_key(added: Added, *, json_: bool) -> None:
    if json_:
        document(added)
        return
    out.print(f"{added.id} is signed with this key, which is not shown again:", markup=False)
    out.print(added.key, markup=False)
    if added.old_key_until:
        out.print(f"The key before is valid beside it until {added.old_key_until:%Y-%m-%d %H:%M} UTC.")


@app.command("list")
def list_(organisation: OptionalOrg = None, json_: Json = False) -> None:
    """List webhooks and how they stand."""
    with opened("webhooks") as runtime, _about(runtime, organisation) as (connection, number):
        found = webhooks.webhooks(connection, number)
    if json_:
        document(found)
        return
    table(
        ["id", "url", "types", "state", "delivered", "failed", "last delivered", "oldest waiting"],
        [
            [w.id, w.url, w.types or "all", _state(w), w.delivered, w.failed, w.delivered_at, w.waits_since]
            for w in found
        ],
        "There are no webhooks.",
    )


def _state(webhook: webhooks.Webhook) -> str:
    if webhook.reason:
        return f"{webhook.state}: {webhook.reason}"
    return f"failing, {counted(webhook.failures, 'time')}" if webhook.failures else webhook.state


@app.command()
def show(id_: Id, organisation: OptionalOrg = None, json_: Json = False) -> None:
    """Show one webhook."""
    with opened("webhooks") as runtime, _about(runtime, organisation) as (connection, number):
        found = webhooks.find(connection, number, id_)
    if found is None:
        raise _missing(id_, organisation)
    if json_:
        document(found)
        return
    table(
        ["webhook", found.id],
        [
            ["url", found.url],
            ["types", found.types or "all"],
            ["state", _state(found)],
            ["since", found.since],
            ["failing since", found.failing_since],
            ["next try", found.due_at if found.failures and not found.reason else None],
            ["delivered", found.delivered],
            ["failed", found.failed],
            ["last delivered", found.delivered_at],
            ["oldest waiting", found.waits_since],
            ["key before valid until", found.old_key_until],
        ],
        "",
    )


@app.command()
def log(
    id_: Id,
    organisation: OptionalOrg = None,
    failures: Annotated[bool, typer.Option("--failures", help="Those that failed alone.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 100,
    json_: Json = False,
) -> None:
    """List the last attempts, the newest first, and what was answered."""
    with opened("webhooks") as runtime, _about(runtime, organisation) as (connection, number):
        if webhooks.find(connection, number, id_) is None:
            raise _missing(id_, organisation)
        found = webhooks.log(connection, number, id_, failures=failures, limit=limit)
    if json_:
        document(found)
        return
    table(
        ["at", "event", "type", "status", "problem", "ms", "said"],
        [[a.at, str(a.event), a.type, a.status, a.problem, a.milliseconds, a.said or None] for a in found],
        "Nothing was tried yet.",
    )
    if len(found) == limit:
        err.print(f"These are the newest {limit}; --limit shows up to 1000.")


@app.command()
def remove(id_: Id, organisation: OptionalOrg = None, json_: Json = False) -> None:
    """Forget a webhook and its log."""
    with opened("webhooks") as runtime, _about(runtime, organisation) as (connection, number):
        if not webhooks.remove(connection, number, id_):
            raise _missing(id_, organisation)
    _say(Changed(id_, "removed"), json_=json_)


@app.command()
def enable(
    id_: Id,
    organisation: OptionalOrg = None,
    skip: Annotated[bool, typer.Option("--skip", help="Never send what was not sent until now.")] = False,
    json_: Json = False,
) -> None:
    """Send to a webhook again, or try one that fails at once: first what was not sent, unless --skip is given."""
    with opened("webhooks") as runtime, _about(runtime, organisation) as (connection, number):
        if not webhooks.enable(connection, number, id_, skip=skip):
            raise _missing(id_, organisation)
    _say(Changed(id_, webhooks.State.ENABLED), json_=json_)


@app.command()
def disable(id_: Id, organisation: OptionalOrg = None, json_: Json = False) -> None:
    """Send to a webhook no more, until it is enabled."""
    with opened("webhooks") as runtime, _about(runtime, organisation) as (connection, number):
        if not webhooks.disable(connection, number, id_):
            raise _missing(id_, organisation)
    _say(Changed(id_, webhooks.State.DISABLED), json_=json_)


def _say(changed: Changed, *, json_: bool) -> None:
    if json_:
        document(changed)
    else:
        out.print(f"{changed.id} is {changed.state}.", markup=False)


@app.command()
def rotate(
    id_: Id,
    organisation: OptionalOrg = None,
    now: Annotated[bool, typer.Option("--now", help="The key before is valid no more: somebody else has it.")] = False,
    json_: Json = False,
) -> None:
    """Sign with a new key, which is printed this once; for 24 hours with the key before beside it."""
    with opened("webhooks") as runtime, _about(runtime, organisation) as (connection, number):
        key, kept = webhooks.SigningKeys(runtime.endpoints.secret_key).make()
        rotated = webhooks.rotate(connection, number, id_, kept, None if now else OLD_KEY_FOR)
        found = webhooks.find(connection, number, id_)
        if found is None:
            raise _missing(id_, organisation)
        if not rotated:
            raise Refused(
                f"The key before is valid until {found.old_key_until:%Y-%m-%d %H:%M} UTC, and there cannot be three:"
                " wait, or end both with --now."
            )
    _show_key(Added(id_, key, found.old_key_until), json_=json_)


@app.command("test")
def try_(id_: Id, organisation: OptionalOrg = None, json_: Json = False) -> None:
    """Send an event that says nothing, rollcall.webhook.test, and print the answer."""
    with opened("webhooks") as runtime:
        with _about(runtime, organisation) as (connection, number):
            found = webhooks.keyring(connection, number, id_)
        if found is None:
            raise _missing(id_, organisation)
        try:
            answer = asyncio.run(_tested(runtime, found, organisation or ""))
        except webhooks.KeyUnreadable:
            raise Refused(
                f"The key of {id_!r} was made under another SECRET_KEY: set that one besides, or rotate --now."
            ) from None
    tested = Tested(id_, answer.problem is None, answer.status, answer.problem, answer.said, answer.milliseconds)
    if json_:
        document(tested)
    if not tested.delivered:
        status = "" if tested.status is None else f", status {tested.status}"
        said = f": {tested.said}" if tested.said else ""
        raise Refused(f"The test was not delivered: {tested.problem}{status}, after {tested.milliseconds} ms{said}.")
    if not json_:
        out.print(f"Delivered: status {tested.status}, after {tested.milliseconds} ms.")


async def _tested(runtime: Runtime, keyring: webhooks.Keyring, organisation: str) -> webhooks.Answer:
    server = webhooks.WebhookServer(runtime)
    try:
        return await server.test(keyring, organisation)
    finally:
        server.close()
