"""R34, R35: every act that changes something is written down, done or refused; and nothing personal or secret with it.

What erasing a learner would have to take out (S15) must not be in the log: it is append-only.
"""

import io
import re
from collections.abc import Callable
from types import GeneratorType
from typing import Any

import msgspec
import pytest

from config.errors import Forbidden
from tasks import acts
from tasks.accounts import PERMISSIONS, Caller, Door, Role, Scope, session_id
from tasks.acts import sessions, signing_in
from tasks.acts.acting import Act, perform
from tests.isolation.neighbours import OURS, furnish
from tests.world import World

#: Stands in whatever is somebody's name, address, secret or words.
CANARY = "canary"

MAIL = f"{CANARY}-mail@acme.example"
WHY = f"{CANARY} why"
PASSWORD = f"{CANARY} password of many words"

Asked = dict[str, Any] | Callable[[World], dict[str, Any]]


def held(id_: str) -> Callable[[World], dict[str, Any]]:
    """The event that was set aside and has this id, by its number."""
    return lambda world: {"seq": world.ask("SELECT seq FROM inbox WHERE id = :id", id=id_), "why": WHY}


def failing(world: World) -> int:
    """The number of a piece of work that was set aside."""
    world.execute(
        "INSERT INTO work (organisation, queue, actor, subject, state) SELECT 1, 'tasks', 'x',"
        " 1000 + count(*), 'failing' FROM work"
    )
    return int(world.ask("SELECT max(work) FROM work"))


def entry(world: World) -> str:
    """An entry of the ledger that is flagged for review, once more."""
    world.execute(
        "INSERT INTO reviews (organisation, consumption, code, event) SELECT organisation, min(consumption),"
        " 'again ' || (SELECT count(*) FROM reviews), '' FROM consumptions GROUP BY organisation"
    )
    return str(world.ask("SELECT min(consumption) FROM consumptions"))


def draft(world: World) -> str:
    """A draft that a person made."""
    create = acts.every()["announcements.create"]
    id_ = f"draft {world.ask('SELECT count(*) FROM mailings')}"
    said = {"subject": CANARY, "body": CANARY, "audience": {"everyone": True}, "announcement": id_}
    perform(
        world.runtime, Caller("root", Door.COMMAND, Role.OPERATOR), create, msgspec.convert(said, create.takes), OURS
    )
    return id_


def unsure(world: World) -> str:
    """An announcement that is finished, of which it is uncertain whether anybody got it."""
    world.execute("UPDATE mailings SET state = 'finished' WHERE id = 'sent'")
    world.execute("UPDATE deliveries SET state = 'uncertain', reason = 'ambiguous', settled_at = now()")
    return "sent"


def whose_tokens(world: World) -> str:
    """Somebody who made a token that holds."""
    world.execute("UPDATE tokens SET made_by = :mail, revoked_at = NULL, revoked_by = NULL", mail=MAIL)
    return MAIL


def looked_at(world: World) -> int:
    """An import whose file was only looked at, and is kept."""
    world.execute("INSERT INTO uploads (organisation, asked, state) VALUES (1, '{}', 'done')")
    world.execute(
        "INSERT INTO upload_blocks (organisation, upload, part, number, block)"
        " SELECT organisation, max(upload), 'file', 0, '' FROM uploads GROUP BY organisation"
    )
    return int(world.ask("SELECT max(upload) FROM uploads"))


#: Each act that changes something, as it is asked for; done in this order.
CHANGES: dict[str, Asked] = {
    "accounts.add": {"email": MAIL, "role": "admin", "organisations": [OURS]},
    "accounts.password": {"email": MAIL},
    "accounts.totp": {"email": MAIL},
    "accounts.sign_out": {"email": MAIL},
    "accounts.disable": {"email": MAIL},
    "announcements.create": {
        "subject": CANARY, "body": CANARY, "audience": {"everyone": True}, "announcement": "made"
    },
    "announcements.edit": {"announcement": "made", "subject": f"{CANARY} 2", "body": f"{CANARY} 2"},
    "announcements.test": {"announcement": "made", "to": MAIL},
    "announcements.unschedule": {"announcement": "scheduled"},
    "announcements.schedule": {"announcement": "scheduled"},
    "announcements.launch": {"announcement": "made", "check": False},
    "announcements.pause": {"announcement": "made"},
    "announcements.resume": {"announcement": "made"},
    "announcements.cancel": {"announcement": "made"},
    "announcements.retry": {"announcement": "sent"},
    "announcements.settle": lambda world: {"announcement": unsure(world), "sent": True, "why": WHY},
    "announcements.delete": lambda world: {"announcement": draft(world)},
    "courses.method": {"course": "law", "method": "manual", "segments": []},
    "learners.export": {"learner": "A"},
    "enrolments.request": {"course": "art", "learners": ["B"], "tab": "all"},
    "enrolments.withdraw": {"course": "art", "learners": ["B"]},
    "events.release": held("w1"),
    "events.discard": held("w2"),
    "events.release_many": {"ids": ["w3"], "why": WHY},
    "events.discard_many": {"ids": ["w4"], "why": WHY},
    "events.replay": {"since": 1},
    "imports.run": lambda _: {"file": io.BytesIO(f"id,email,status\nN1,{MAIL},active\n".encode())},
    "imports.again": lambda world: {"id": looked_at(world), "map": [f"learner={CANARY}"], "name": CANARY},
    "learners.activate": {"learner": "B"},
    "learners.deactivate": {"learner": "B"},
    "learners.status": {"learners": ["A", "B"], "status": "active"},
    "learners.subscription": {"learners": ["A"], "subscribed": False},
    "mail.pause": {},
    "mail.resume": {},
    "mail.retry": {"since": "2026-01-01T00:00:00Z"},
    "mail.sent_since": lambda _: {"file": io.BytesIO(f"to=<{MAIL}>\n".encode())},
    "seats.reviewed": lambda world: {"id": entry(world), "why": WHY},
    "seats.reviewed_many": lambda world: {"entries": [entry(world)], "why": WHY},
    "segments.save": {"segment": "s1", "name": "Nurses of the night"},
    "segments.join": {"segment": "s1", "learners": ["A"]},
    "segments.leave": {"segment": "s1", "learners": ["A"]},
    "suppressions.add": {"address": MAIL, "why": WHY},
    "suppressions.remove": {"addresses": [MAIL]},
    "system.events.release_many": {"ids": ["w5"], "why": WHY},
    "system.events.discard_many": {"ids": ["w6"], "why": WHY},
    "system.events.replay": {"since": 1},
    "system.pause": {"pool": "bulk", "why": WHY},
    "system.resume": {"pool": "bulk"},
    "tokens.add": {"name": "ci", "role": "admin", "organisations": [OURS]},
    "tokens.revoke": {"name": "ci"},
    "accounts.revoke_tokens": lambda world: {"email": whose_tokens(world)},
    "work.retry": lambda world: {"id": failing(world)},
    "work.retry_many": lambda world: {"numbers": [failing(world)]},
    "work.discard": lambda world: {"id": failing(world)},
    "work.pause": {"kind": "mail.deliver", "organisation": OURS, "why": WHY},
    "work.resume": {"kind": "mail.deliver", "organisation": OURS},
    "work.discard_many": lambda world: {"numbers": [failing(world)]},
}  # fmt: skip

#: The same of webhooks, of an organisation and of the platform.
WEBHOOKS: dict[str, dict[str, Any]] = {
    "add": {"id": "h1", "url": f"https://hooks.invalid/{CANARY}?key={CANARY}"},
    **{act: {"id": "h1"} for act in ("test", "disable", "enable", "rotate", "remove")},
}
CHANGES |= {f"{prefix}webhooks.{act}": asked for prefix in ("", "system.") for act, asked in WEBHOOKS.items()}

#: What whoever is signed in does with their own sessions: no role is refused it.
OWN = {"sessions.end_one", "sessions.end_others"}

#: What an answer shows once: tokens, keys, links.
SHOWN_ONCE = {"token", "key", "link", "uri"}


@pytest.fixture
def planted(world: World) -> World:
    """An organisation with something of everything, whose learners are canaries."""
    furnish(world, OURS)
    world.has_learners("A", "B", email=MAIL, username="canary-user", first_name="Canary", last_name="Canarysen")
    for n in range(1, 7):  # B is inactive: these are set aside, and can be taken as valid (R27)
        world.say("course.started", id_=f"w{n}", learner="B", course="safety")
    world.execute("UPDATE deliveries SET state = 'failed', reason = 'deferred' WHERE state = 'accepted'")
    return world


def asked_of(world: World, act: Act[Any, Any]) -> Any:
    """What is asked of an act."""
    said = CHANGES[act.name]
    fields = said(world) if callable(said) else said
    if any(isinstance(value, io.BytesIO) for value in fields.values()):
        return act.takes(**fields)
    return msgspec.convert(fields, act.takes, strict=False)


def tried(world: World, act: Act[Any, Any], role: Role) -> tuple[set[str], set[str]]:
    """Do an act as this role: which outcomes are written down of it, and what its answer shows once."""
    of = None if role is Role.OPERATOR else frozenset({OURS})
    organisation = OURS if PERMISSIONS[act.name].scope is Scope.ORGANISATION else None
    asked, before = asked_of(world, act), world.ask("SELECT coalesce(max(id), 0) FROM audit")
    shown: set[str] = set()
    try:
        answer = msgspec.to_builtins(
            perform(world.runtime, Caller(f"by-{role}", Door.API, role, of), act, asked, organisation),
            builtin_types=(GeneratorType,),  # of what is streamed: a secret that is shown once is none of it
        )
        said = answer.items() if isinstance(answer, dict) else ()
        shown = {value for field, value in said if field in SHOWN_ONCE and isinstance(value, str)}
    except Forbidden:
        pass
    rows = world.rows("SELECT act, outcome FROM audit WHERE id > :before", before=before)
    return {outcome for name, outcome in rows if name == act.name}, shown


def test_r34_every_act_that_changes_something_is_written_down_and_nothing_personal_with_it(planted: World) -> None:
    changing = {name: one for name, one in acts.every().items() if one.changes}
    assert changing.keys() - CHANGES.keys() == OWN, "say how these are asked for"
    wrong, secrets = {}, set[str]()

    for name in (name for name in CHANGES if name in changing):
        enough = PERMISSIONS[name].role
        refused, _ = tried(planted, changing[name], Role.ADMIN if enough is Role.OPERATOR else Role.READER)
        done, shown = tried(planted, changing[name], enough)
        secrets |= shown
        if refused != {"refused: Forbidden"} or not done or not done <= {"done", "begun"}:
            wrong[name] = (refused, done)
    link = perform(
        planted.runtime,
        Caller("root", Door.COMMAND, Role.OPERATOR),
        acts.every()["accounts.add"],
        asked_of(planted, changing["accounts.add"]),
    ).link.rpartition("/")[2]
    signing_in.choose_password(planted.runtime, link, PASSWORD, None)
    cookie = signing_in.sign_in(planted.runtime, signing_in.SignIn(MAIL, PASSWORD), None).cookie
    other = signing_in.sign_in(planted.runtime, signing_in.SignIn(MAIL, PASSWORD), None).cookie
    own = Caller(MAIL, Door.API, Role.READER, frozenset({OURS}))
    perform(planted.runtime, own, changing["sessions.end_one"], sessions.OneSession(session_id(other)))
    perform(planted.runtime, own, changing["sessions.end_others"], sessions.OtherSessions(session_id(cookie)))
    signing_in.sign_out(planted.runtime, cookie, None)

    assert {*planted.list("SELECT act FROM audit WHERE act LIKE 'sessions.end_o%' AND outcome = 'done'")} == OWN
    assert wrong == {}
    assert len(secrets) > 6
    rows = planted.list("SELECT CAST(to_jsonb(a) - 'who' AS text) FROM audit a")
    hidden = {*secrets, link, cookie, other, *(secret.rpartition("/")[2] for secret in secrets)}
    assert [row for row in rows if CANARY in row.lower() or any(secret in row for secret in hidden)] == []
    assert [row for row in rows if re.search(r"[^\s\"]@[\w-]+\.\w", row)] == [], "no address of anybody"
    of_people = set(planted.list("SELECT DISTINCT who FROM audit WHERE who LIKE '%@%'"))
    assert of_people == {MAIL}, "an account is known by its address, and stands in `who` alone"
