"""`rollcall webhooks`: where events out are sent besides the stream."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from config.errors import Invalid
from config.words import counted
from tasks import webhooks
from tasks.acts import webhooks as acts
from tasks.acts.acting import Act, Answer, Asked
from tasks.acts.paging import PageAsked
from workers.commands.common import Json, Refused, document, done, err, out, say, say_table, walked

app = typer.Typer(
    help="Webhooks: events out are sent to them besides the stream, signed as Standard Webhooks describes, in order,"
    " and again until they are taken. An organisation's are sent its events alone; the platform's own, everybody's.",
    no_args_is_help=True,
)

Id = Annotated[str, typer.Argument(metavar="ID", help="The webhook's id, as `list` shows it.")]
OptionalOrg = Annotated[
    str | None,
    typer.Option(
        "--organisation", "-o", metavar="ORG", help="The organisation it is of; the platform's own otherwise."
    ),
]


def _done(what: Act[Asked, Answer], wanted: Asked, organisation: str | None) -> Answer:
    """Do an act about an organisation's webhooks, or about the platform's."""
    of_platform: Act[Asked, Answer] = acts.of_platform[what.name]
    return done(what if organisation is not None else of_platform, wanted, organisation)


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
    wanted = acts.WebhookAddition(url, types, id_, None if since is None else _time(since))
    try:
        added = _done(acts.add, wanted, organisation)
    except Invalid as problem:
        option = "" if [one.pointer for one in problem.errors] == ["/url"] else "--"
        raise typer.BadParameter(f"{option}{problem}") from None
    _show_key(added, json_=json_)


def _time(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise typer.BadParameter(f"--since {text}: it reads as in 2026-01-10T09:00:00Z")


def _show_key(added: acts.Added, *, json_: bool) -> None:
    says = [f"{added.id} is signed with this key, which is not shown again:", added.key]
    if added.old_key_until:
        says.append(f"The key before is valid beside it until {added.old_key_until:%Y-%m-%d %H:%M} UTC.")
    say(added, *says, json_=json_)


@app.command("list")
def list_(organisation: OptionalOrg = None, json_: Json = False) -> None:
    """List webhooks and how they stand."""
    act = acts.list_ if organisation is not None else acts.of_platform["webhooks.list"]
    found = [*walked(act, PageAsked(), organisation)]
    say_table(
        found,
        ["id", "url", "types", "state", "delivered", "failed", "last delivered", "oldest waiting"],
        [
            [w.id, w.url, w.types or "all", _state(w), w.delivered, w.failed, w.delivered_at, w.waits_since]
            for w in found
        ],
        "There are no webhooks.",
        json_=json_,
    )


def _state(webhook: webhooks.Webhook) -> str:
    if webhook.reason:
        return f"{webhook.state}: {webhook.reason}"
    return f"failing, {counted(webhook.failures, 'time')}" if webhook.failures else webhook.state


@app.command()
def show(id_: Id, organisation: OptionalOrg = None, json_: Json = False) -> None:
    """Show one webhook."""
    found = _done(acts.show, acts.OneWebhook(id_), organisation)
    say_table(
        found,
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
        json_=json_,
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
    found = _done(acts.log, acts.AttemptFilter(id_, failures, limit), organisation).items
    say_table(
        found,
        ["at", "event", "type", "status", "problem", "ms", "said"],
        [[a.at, str(a.event), a.type, a.status, a.problem, a.milliseconds, a.said or None] for a in found],
        "Nothing was tried yet.",
        json_=json_,
    )
    if len(found) == limit and not json_:
        err.print(f"These are the newest {limit}; --limit shows up to 1000.")


@app.command()
def remove(id_: Id, organisation: OptionalOrg = None, json_: Json = False) -> None:
    """Forget a webhook and its log."""
    _say(_done(acts.remove, acts.OneWebhook(id_), organisation), json_=json_)


@app.command()
def enable(
    id_: Id,
    organisation: OptionalOrg = None,
    skip: Annotated[bool, typer.Option("--skip", help="Never send what was not sent until now.")] = False,
    json_: Json = False,
) -> None:
    """Send to a webhook again, or try one that fails at once: first what was not sent, unless --skip is given."""
    _say(_done(acts.enable, acts.Enabling(id_, skip), organisation), json_=json_)


@app.command()
def disable(id_: Id, organisation: OptionalOrg = None, json_: Json = False) -> None:
    """Send to a webhook no more, until it is enabled."""
    _say(_done(acts.disable, acts.OneWebhook(id_), organisation), json_=json_)


def _say(changed: acts.Changed, *, json_: bool) -> None:
    say(changed, f"{changed.id} is {changed.state}.", json_=json_)


@app.command()
def rotate(
    id_: Id,
    organisation: OptionalOrg = None,
    now: Annotated[bool, typer.Option("--now", help="The key before is valid no more: somebody else has it.")] = False,
    json_: Json = False,
) -> None:
    """Sign with a new key, which is printed this once; for 24 hours with the key before beside it."""
    _show_key(_done(acts.rotate, acts.Rotation(id_, now), organisation), json_=json_)


@app.command("test")
def try_(id_: Id, organisation: OptionalOrg = None, json_: Json = False) -> None:
    """Send an event that says nothing, rollcall.webhook.test, and print the answer."""
    tested = _done(acts.test, acts.OneWebhook(id_), organisation)
    if json_:
        document(tested)
    if not tested.delivered:
        status = "" if tested.status is None else f", status {tested.status}"
        said = f": {tested.said}" if tested.said else ""
        raise Refused(f"The test was not delivered: {tested.problem}{status}, after {tested.milliseconds} ms{said}.")
    if not json_:
        out.print(f"Delivered: status {tested.status}, after {tested.milliseconds} ms.")
