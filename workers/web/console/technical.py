"""What is technical about an organisation, and about the installation: events that were not taken, webhooks, addresses
that get no mail, and the audit log. The pages are the same; an organisation's people see what is theirs."""

from datetime import timedelta
from typing import Any

from config import clock
from config.errors import UserError
from tasks import events as event_parts
from tasks.acts import ACTS, auditing, events, suppressions, webhooks
from tasks.acts.auditing import AuditAsked, AuditExport
from tasks.acts.events import AnybodysDecisions, AnybodysUnresolvedFilter, Decisions, UnresolvedFilter, UnresolvedState
from tasks.acts.paging import PageAsked, Stream
from tasks.acts.suppressions import NewSuppression, SuppressionsChosen, SuppressionsExport, SuppressionsPage
from tasks.acts.webhooks import AttemptFilter, Enabling, OneWebhook, WebhookAddition
from workers.web.console.lists import filled
from workers.web.console.operators import numbers, why
from workers.web.console.visits import SECTIONS, Gone, Section, Shown, Visit, page

OF_ONE, OF_ALL = "organisations/{organisation}/technical", "system"

#: Rows of a page, and attempts of a webhook.
SHOWN, ATTEMPTS = 100, 50

#: Days that the audit log can be asked for by one click.
LATELY = (1, 7, 30)

SECTIONS.append(Section("technical", "Technical", suppressions.list_))


def at(visit: Visit, *parts: str, **query: object) -> str:
    """A page of the organisation or, where there is none, of the installation."""
    return visit.url("technical" if visit.organisation is not None else "system", *parts, **query)


@page(f"GET {OF_ONE}", needs=suppressions.list_, section="technical")
def first(visit: Visit) -> Gone:
    """The first of these pages."""
    return Gone(at(visit, "suppressions"))


@page(f"GET {OF_ONE}/quarantine", needs=events.quarantined, section="technical")
@page(f"GET {OF_ALL}/quarantine", needs=events.quarantined_anywhere, section="system")
def list_quarantine(visit: Visit) -> Shown:
    """The events that wait, or that a person is to decide about."""
    asked: UnresolvedFilter
    if visit.organisation is not None:
        asked = visit.read(UnresolvedFilter, limit=SHOWN)
        found = visit.ask(events.quarantined, asked)
    else:
        asked = visit.read(AnybodysUnresolvedFilter, limit=SHOWN)
        found = visit.ask(events.quarantined_anywhere, asked)
    said = {
        "asked": asked,
        "events": found.items,
        "after": found.next and at(visit, "quarantine", reason=asked.reason, state=asked.state, after=found.next,
                                   organisation=getattr(asked, "organisation", None)),
        "reasons": [*event_parts.Reason],
        "states": [*UnresolvedState],
        "may_decide": visit.may("events.release_many" if visit.organisation else "system.events.release_many"),
    }  # fmt: skip
    return Shown("technical_quarantine", _with(visit, said))


@page(f"POST {OF_ONE}/quarantine/confirm", needs=events.discard_many, section="technical")
@page(f"POST {OF_ALL}/quarantine/confirm", needs=events.discard_anywhere, section="system")
def confirm_decision(visit: Visit) -> Shown:
    """Say what a decision means, and ask why."""
    wanted = _wanted(visit)
    return Shown("technical_decide", _with(visit, {"numbers": numbers(visit, "event"), "wanted": wanted}))


@page(f"POST {OF_ONE}/quarantine", needs=events.release_many, section="technical")
@page(f"POST {OF_ALL}/quarantine", needs=events.release_anywhere, section="system")
def decide(visit: Visit) -> Gone:
    """Take events as valid, or give them up."""
    ids, reason, wanted = [str(n) for n in numbers(visit, "event")], why(visit), _wanted(visit)
    if visit.organisation is not None:
        act = events.release_many if wanted == "release" else events.discard_many
        done = visit.ask(act, Decisions(ids, reason, by_number=True))
    else:
        anywhere = events.release_anywhere if wanted == "release" else events.discard_anywhere
        done = visit.ask(anywhere, AnybodysDecisions(ids, reason, by_number=True))
    ngettext = visit.reader.ngettext
    if wanted == "release":
        said = ngettext("{n} event was released.", "{n} events were released.", len(done))
    else:
        said = ngettext("{n} event was discarded.", "{n} events were discarded.", len(done))
    return Gone(at(visit, "quarantine"), said)


def _wanted(visit: Visit) -> str:
    wanted = visit.said("wanted")
    if wanted not in {"release", "discard"}:
        raise UserError(visit.reader.words.gettext("It is not said what is to be done: go back, and press a button."))
    return wanted


@page(f"GET {OF_ONE}/webhooks", needs=webhooks.list_, section="technical")
@page(f"GET {OF_ALL}/webhooks", needs=webhooks.of_platform["webhooks.list"], section="system")
def list_webhooks(visit: Visit) -> Shown:
    """Webhooks, and how they stand."""
    found = visit.ask(_hook(visit, "list"), visit.read(PageAsked))
    return Shown("technical_webhooks", _with(visit, {"webhooks": found.items, "next": found.next, "added": None}))


@page(f"POST {OF_ONE}/webhooks", needs=webhooks.add, section="technical")
@page(f"POST {OF_ALL}/webhooks", needs=webhooks.of_platform["webhooks.add"], section="system")
def add_webhook(visit: Visit) -> Shown:
    """Send events somewhere from now on; the key is shown on this page alone."""
    added = visit.ask(
        _hook(visit, "add"), WebhookAddition(visit.said("url").strip(), id=visit.said("id").strip() or None)
    )
    found = visit.ask(_hook(visit, "list"), PageAsked())
    return Shown("technical_webhooks", _with(visit, {"webhooks": found.items, "next": found.next, "added": added}))


@page(f"GET {OF_ONE}/webhooks/{{webhook}}", needs=webhooks.show, section="technical")
@page(f"GET {OF_ALL}/webhooks/{{webhook}}", needs=webhooks.of_platform["webhooks.show"], section="system")
def show_webhook(visit: Visit) -> Shown:
    """One webhook, and what was answered lately."""
    return _webhook(visit, None)


@page(f"POST {OF_ONE}/webhooks/{{webhook}}", needs=webhooks.test, section="technical")
@page(f"POST {OF_ALL}/webhooks/{{webhook}}", needs=webhooks.of_platform["webhooks.test"], section="system")
def change_webhook(visit: Visit) -> Shown | Gone:
    """Pause it, let it go on, or test it."""
    id_, wanted, words = visit.path["webhook"], visit.said("wanted"), visit.reader.words
    if wanted == "test":
        return _webhook(visit, visit.ask(_hook(visit, "test"), OneWebhook(id_)))
    if wanted == "disable":
        visit.ask(_hook(visit, "disable"), OneWebhook(id_))
        return Gone(at(visit, "webhooks", id_), words.gettext("Nothing is sent to it until it is enabled."))
    visit.ask(_hook(visit, "enable"), Enabling(id_, skip=bool(visit.said("skip"))))
    return Gone(at(visit, "webhooks", id_), words.gettext("Events are sent to it again."))


def _webhook(visit: Visit, tested: Any) -> Shown:
    id_ = visit.path["webhook"]
    asked = visit.read(AttemptFilter, id=id_, limit=ATTEMPTS)
    log = visit.ask(_hook(visit, "log"), asked)
    said = {
        "webhook": visit.ask(_hook(visit, "show"), OneWebhook(id_)),
        "attempts": log.items,
        "asked": asked,
        "next": log.next,
        "tested": tested,
    }
    return Shown("technical_webhook", _with(visit, said))


def _hook(visit: Visit, name: str) -> Any:
    """The act about the organisation's webhooks, or about those of the platform."""
    return ACTS[f"webhooks.{name}" if visit.organisation is not None else f"system.webhooks.{name}"]


@page(f"GET {OF_ONE}/suppressions", needs=suppressions.list_, section="technical")
def list_suppressions(visit: Visit) -> Shown:
    """The addresses that get no more mail."""
    asked = visit.read(SuppressionsPage, limit=SHOWN)
    items, after = filled(visit, suppressions.list_, asked.after, {}, SHOWN)
    said = {"asked": asked, "suppressions": items, "next": after, "may_change": visit.may("suppressions.remove")}
    return Shown("technical_suppressions", _with(visit, said))


@page(f"POST {OF_ONE}/suppressions", needs=suppressions.remove, section="technical")
def lift(visit: Visit) -> Gone:
    """Let addresses get mail again."""
    chosen, reader = visit.all_said("address"), visit.reader
    if not chosen:
        raise UserError(reader.words.gettext("Nothing is ticked: go back, tick something, and press the button."))
    done = visit.ask(suppressions.remove, SuppressionsChosen(chosen, why=why(visit))).lifted
    said = reader.ngettext("{n} address gets mail again.", "{n} addresses get mail again.", done)
    return Gone(at(visit, "suppressions"), said)


@page(f"POST {OF_ONE}/suppressions/add", needs=suppressions.add, section="technical")
def suppress(visit: Visit) -> Gone:
    """Send an address no more mail."""
    done = visit.ask(suppressions.add, NewSuppression(visit.said("address").strip(), why(visit)))
    words = visit.reader.words
    said = words.gettext("It gets no more mail.") if done.changed else words.gettext("It got no mail already.")
    return Gone(at(visit, "suppressions"), said)


@page(f"GET {OF_ONE}/audit", needs=auditing.list_, section="technical")
@page(f"GET {OF_ALL}/audit", needs=auditing.all_, section="system")
def list_audit(visit: Visit) -> Shown:
    """What was done, by whom, and what was refused."""
    asked = visit.read(AuditAsked, limit=SHOWN)
    found = visit.ask(auditing.list_ if visit.organisation is not None else auditing.all_, asked)
    chosen = {"since": asked.since and asked.since.isoformat(), "who": asked.who, "act": asked.act}
    said = {
        "asked": asked,
        "entries": found.items,
        "after": found.next and at(visit, "audit", **chosen, after=found.next),
        "export": at(visit, "audit", "export", **chosen),
        "lately": {days: at(visit, "audit", **{**chosen, "since": _days_ago(days)}) for days in LATELY},
    }
    return Shown("technical_audit", _with(visit, said))


@page(f"GET {OF_ONE}/audit/export", needs=auditing.export, section="technical", exports=True)
@page(f"GET {OF_ALL}/audit/export", needs=auditing.export_all, section="system", exports=True)
def export_audit(visit: Visit) -> Stream:
    """The same as a file."""
    return visit.ask(
        auditing.export if visit.organisation is not None else auditing.export_all, visit.read(AuditExport)
    )


@page(f"GET {OF_ONE}/suppressions/export", needs=suppressions.export, section="technical", exports=True)
def export_suppressions(visit: Visit) -> Stream:
    """Every address that gets no more mail, as a file."""
    return visit.ask(suppressions.export, visit.read(SuppressionsExport))


def _days_ago(days: int) -> str:
    """A time so many days ago, to the minute, so that it makes a link that can be shared."""
    return f"{clock.now() - timedelta(days=days):%Y-%m-%dT%H:%MZ}"


def _with(visit: Visit, said: dict[str, Any]) -> dict[str, Any]:
    return {**said, "at": lambda *parts, **query: at(visit, *parts, **query)}
