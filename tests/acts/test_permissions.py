"""R34: who may do what. The table here is written by hand, from the contract: a slip in `PERMISSIONS` fails."""

import ast
import inspect
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest
import typer

from config.errors import Forbidden, NotFound
from tasks import acts
from tasks.accounts import PERMISSIONS, Caller, Door, Role
from tasks.acts.acting import Act, Doing, perform
from tests.isolation.neighbours import OURS, THEIRS
from tests.world import World
from workers import cli

#: Whoever signs in or shows a token may do these, about what is theirs.
ANYBODY = "mail.show organisations.list templates.list templates.sample"

#: Whoever signs in may see and end their own sessions, as they may sign out.
OWN_SESSIONS = "sessions.end_one sessions.end_others sessions.list"

#: A reader of an organisation looks, and changes nothing.
READER = """
    access.ask access.ask_many
    announcements.export announcements.list announcements.preview announcements.ready announcements.recipients
    announcements.see announcements.show
    courses.enrolments courses.list courses.preview courses.show
    enrolments.running enrolments.show
    events.decided events.quarantined events.replays
    imports.list imports.refused imports.show
    learners.counts learners.explain learners.list learners.preview learners.show
    reports.analytics reports.archived reports.by_course reports.by_segment reports.history reports.summary
    reports.training
    seats.explain seats.export seats.ledger seats.show seats.use
    segments.counts segments.list segments.show
    suppressions.export suppressions.list
    templates.render
    webhooks.list webhooks.log webhooks.show
"""

#: An admin of an organisation does, besides, everything of theirs.
ADMIN = """
    announcements.cancel announcements.create announcements.delete announcements.edit announcements.launch
    announcements.pause announcements.resume announcements.retry announcements.schedule announcements.test
    announcements.settle announcements.unschedule
    audit.export audit.list
    courses.method
    enrolments.request enrolments.withdraw
    events.discard events.discard_many events.release events.release_many events.replay
    imports.again imports.run
    learners.activate learners.deactivate learners.export learners.status learners.subscription
    mail.retry
    seats.reviewed seats.reviewed_many
    segments.join segments.leave segments.save
    suppressions.add suppressions.remove
    webhooks.add webhooks.disable webhooks.enable webhooks.remove webhooks.rotate webhooks.test
"""

#: Accounts, tokens and the system are an operator's, and so is what is about every organisation.
OPERATOR = """
    accounts.add accounts.disable accounts.list accounts.password accounts.revoke_tokens accounts.sessions
    accounts.sign_out accounts.totp
    audit.all audit.export_all
    mail.check mail.pause mail.resume mail.sent_since
    system.events.decided system.events.discard_many system.events.quarantined system.events.release_many
    system.events.replay system.events.replays
    system.advise system.fanouts system.mailings system.pause system.resume system.samples system.show
    system.webhooks.add system.webhooks.disable system.webhooks.enable system.webhooks.list system.webhooks.log
    system.webhooks.remove system.webhooks.rotate system.webhooks.show system.webhooks.test
    tokens.add tokens.list tokens.revoke
    work.discard work.discard_many work.failing work.pause work.resume work.retry work.retry_many
"""

#: The least role for each act, and whether it is about an organisation.
TABLE = {
    act: (role, about_one)
    for names, role, about_one in (
        (ANYBODY, "reader", False),
        (OWN_SESSIONS, "reader", False),
        (READER, "reader", True),
        (ADMIN, "admin", True),
        (OPERATOR, "operator", False),
    )
    for act in names.split()
}

#: What each role may do of what a least role is needed for.
LEAST = {"reader": {"reader", "admin", "operator"}, "admin": {"admin", "operator"}, "operator": {"operator"}}

#: Who asks: of each role one of ours and one of theirs, and an operator, who is of all.
CALLERS = {
    f"{role} of {organisation}": Caller(f"{role}-{organisation}", Door.API, role, frozenset({organisation}))
    for role in (Role.READER, Role.ADMIN)
    for organisation in (OURS, THEIRS)
} | {"operator": Caller("ops", Door.API, Role.OPERATOR)}

#: An organisation that is not there; nobody is told it from one that is somebody else's.
NOWHERE = "nowhere"

#: Commands that are the shell's own: each works on this machine, whoever is at it, and why it is no act.
SHELLS_OWN = {
    "cells add": "needs the servers of every cell",
    "cells forget": "needs the servers of every cell",
    "cells list": "needs the servers of every cell",
    "cells move": "needs the servers of every cell",
    "cells run": "runs commands on this machine",
    "demo": "starts servers and every process",
    "events key": "shows a key of this installation",
    "events publish": "writes to the stream, as the platform does",
    "events sign": "signs with a key of this installation",
    "mail dkim": "reads a key of this machine",
    "migrate": "changes the schema",
    "reconcile": "looks for faults of ours",
    "verify": "looks for faults of ours",
    "restored": "decides what becomes of a database that was restored",
    "run bounces": "is a process",
    "run ingress": "is a process",
    "run pool": "is a process",
    "run relay": "is a process",
    "run web": "is a process",
    "run webhooks": "is a process",
    "seats verify": "looks for faults of ours",
    "templates list": "lists the frames of mail that this code has",
    "up": "starts every process",
    "wait": "waits on this machine",
}


def test_r34_the_table_of_permissions_is_what_the_contract_says() -> None:
    said = {name: (one.role.value, one.scope.value == "organisation") for name, one in PERMISSIONS.items()}
    scopes = {name: one.scope.value for name, one in PERMISSIONS.items()}

    assert said == {name: TABLE.get(name) for name in PERMISSIONS}
    assert {name for name, scope in scopes.items() if scope == "own"} <= {*ANYBODY.split(), *OWN_SESSIONS.split()}
    assert {name for name, scope in scopes.items() if scope == "system"} <= {*OPERATOR.split()}


def test_r34_what_changes_something_is_no_readers() -> None:
    changing = {name for name, one in acts.every().items() if one.changes}

    assert len(changing) > 30
    assert changing & {*ANYBODY.split(), *READER.split()} == set()
    assert {
        name for name, one in acts.every().items() if not one.changes and one.method not in {"GET", "POST"}
    } == set()


@pytest.mark.parametrize("name", CALLERS)
def test_r34_every_act_by_every_role_of_every_organisation(world: World, name: str) -> None:
    world.send(world.event("organisation.saved", {"name": "B", "licence": "seats"}, organisation=THEIRS))
    caller, found, expected = CALLERS[name], {}, {}
    for act, one in acts.every().items():
        least, about_one = TABLE[act]
        for organisation in (OURS, THEIRS, NOWHERE) if about_one else (None,):
            found[act, organisation] = outcome(world, caller, one, organisation)
            seen = organisation is None or (organisation != NOWHERE and caller.sees(organisation))
            may = caller.role in LEAST[least]
            expected[act, organisation] = "done" if seen and may else "forbidden" if seen else "not found"

    assert {what: (found[what], said) for what, said in expected.items() if found[what] != said} == {}
    refused = {(act, org) for (act, org), said in found.items() if said != "done" and acts.every()[act].changes}
    assert world.ask(
        "SELECT count(*) FROM audit WHERE who = :who AND outcome LIKE 'refused: %'", who=caller.who
    ) == len({(act, org) for act, org in refused if found[act, org] == "forbidden"})


def outcome(world: World, caller: Caller, one: Act[Any, Any], organisation: str | None) -> str:
    """What becomes of an act that does nothing, whatever is asked."""

    def nothing(_doing: Doing, _asked: object) -> str:
        return "done"

    try:
        return str(perform(world.runtime, caller, replace(one, does=nothing), None, organisation))
    except Forbidden:
        return "forbidden"
    except NotFound as problem:
        assert str(problem) == f"There is no organisation {organisation!r}."  # noqa: PT017 - the same for both
        return "not found"


def commands(group: Any = None, *words: str) -> Iterator[tuple[str, Any]]:
    """Every command there is, with what it calls."""
    group = group or typer.main.get_command(cli.app)
    if not hasattr(group, "commands"):
        yield " ".join(words), inspect.unwrap(group.callback)
        return
    for word, one in group.commands.items():
        yield from commands(one, *words, word)


@cache
def names_in(module: ModuleType) -> dict[str, set[str]]:
    """What each function of a module names."""
    tree = ast.parse(inspect.getsource(module))
    return {
        node.name: {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
    }


def does_an_act(module: ModuleType, function: str, seen: set[tuple[str, str]]) -> bool:
    """Whether a function of a command calls what does acts, itself or by what it calls."""
    if (module.__name__, function) in seen:
        return False
    seen.add((module.__name__, function))
    for name in names_in(module).get(function, ()):
        if name in {"done", "acting", "walked"}:
            return True
        called = getattr(module, name, None)
        home = getattr(called, "__module__", "")
        ours = home.startswith("workers.commands.") and home != "workers.commands.common"
        if inspect.isfunction(called) and ours and does_an_act(import_module(home), called.__name__, seen):
            return True
    return False


def test_r34_every_command_does_acts_or_is_the_shells_own() -> None:
    every = dict(commands())
    others = {
        name for name, one in every.items() if not does_an_act(import_module(one.__module__), one.__name__, set())
    }

    assert len(every) > 80
    assert others - SHELLS_OWN.keys() == set(), "do it as an act, or say why it is the shell's own"
    assert SHELLS_OWN.keys() - others == set(), "these do acts by now"
