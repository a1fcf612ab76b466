"""A learner with a canary in everything that names them, planted in every way in; and where canaries are found."""

from collections.abc import Iterable
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from config.database import transaction
from config.streams import GROUP, IN, OUT
from tasks import webhooks
from tasks.acts import drafts, events, imports, learners, previews, suppressions
from tasks.acts.idempotency import FirstAnswer, once
from tasks.bounces import Arrived, record_bounce
from tasks.events import Audience, replays
from tasks.imports.requests import StatusOfAll
from tasks.mail import ReturnPaths
from tests.acts.doing import caller, do
from tests.bounces import reports
from tests.world import DAWN, World
from workers import ingress
from workers.relay.searching import IndexLearners

#: Is in everything that names the learner; no other test says it, so that logs may be shared.
CANARY = "yycanary"

OLD, NEW = f"{CANARY}.Old@person.example", f"{CANARY}.new@person.example"
FIRST, LAST, USERNAME = f"{CANARY}-first", f"{CANARY}-last", f"{CANARY}-user"
CALLED: dict[str, Any] = {"first_name": FIRST, "last_name": LAST, "username": USERNAME}

#: What an event says besides, which nobody asked for.
MORE: dict[str, Any] = {"who": CALLED, "old": OLD, "new": NEW}

#: Why somebody decides something.
WHY = f"{FIRST} {LAST} ({OLD}) asked"

FILE = f"""id,username,email,first_name,last_name,status,time_zone
A,{USERNAME},{NEW},{FIRST},{LAST}é,active,{LAST}
,{USERNAME},{NEW},{FIRST},{LAST},active,
"""


def in_tables(url: str) -> dict[str, list[str]]:
    """The lines of every table, as COPY writes them, that have the canary in them: bytes as they are. A partition
    counts as its table."""
    found: dict[str, list[str]] = {}
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            "SELECT c.relname, CAST(CAST(coalesce(pg_partition_root(c.oid), c.oid) AS regclass) AS text)"
            " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        for table, whole in tables:
            copying = sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(table))
            with connection.cursor().copy(copying) as copy:
                lines = [readable(bytes(row)) for row in copy]
            if named := [line for line in lines if CANARY in line.lower()]:
                found.setdefault(whole, []).extend(named)
    return found


def readable(row: bytes) -> str:
    """A line of COPY, with the octets of its bytea columns as they are, beside how they are written."""
    columns = row.decode().rstrip("\n").split("\t")
    octets = [bytes.fromhex(one[3:]).decode(errors="replace") for one in columns if one.startswith("\\\\x")]
    return "\t".join([*columns, *octets])


def in_redis(world: World) -> dict[str, str]:
    """Everything in Redis that has the canary in it, by key: its name, and its value as it is kept."""
    found = {}
    for key in world.redis.scan_iter():
        kind = world.redis.type(key)
        value = str(world.redis.xrange(key)) if kind == b"stream" else str(world.redis.dump(key))
        if CANARY in f"{key!r} {value}".lower():
            found[str(key)] = value
    return found


def in_files(places: Iterable[Path]) -> list[str]:
    """The files below these places that have the canary in them, or in their name."""
    files = [file for place in places for file in (place.rglob("*") if place.is_dir() else [place])]
    return [
        str(file)
        for file in files
        if CANARY in file.name or (file.is_file() and CANARY.encode() in file.read_bytes().lower())
    ]


def bounce(world: World) -> None:
    """The first mail to the learner comes back, with a report that names them."""
    found = world.runtime.endpoints
    to = world.mail.senders[NEW][0]
    came = reports.postfix(to, NEW, diagnostic=f"smtp; 550 5.1.1 <{NEW}> ({USERNAME}) unknown")
    returns = ReturnPaths(found.bounce_address, found.secret_key)
    record_bounce(world.runtime, returns, Arrived(came.sender, to, came.message))


def of_every_type(world: World, **extra: Any) -> list[bytes]:
    """An event of each type that says more than it should, about what is there."""
    told = {
        "organisation.saved": {"name": "Acme Academy", "licence": "credits", "pool": 1000},
        "learner.saved": world.learner("A", **CALLED, email=NEW),
        "learner.status_changed": {"learner": "A", "status": "active"},
        "segment.saved": {"segment": "nurses", "name": "Nurses"},
        "segment.joined": {"segment": "nurses", "learners": ["A", "B"]},
        "segment.left": {"segment": "nurses", "learners": ["B"]},
        "course.saved": {"course": "safety", "title": "Safety", "method": "everyone"},
        "enrolment.requested": {"request": f"r{len(world.sent)}", "course": "safety", "learners": ["A"], "tab": "all"},
        "enrolment.withdrawn": {"course": "safety", "learners": ["B"]},
        "course.started": {"learner": "A", "course": "safety"},
        "course.completed": {"learner": "A", "course": "safety", "result": f"{FIRST} {LAST} passed"},
        "announcement.requested": {
            "announcement": f"a{len(world.sent)}", "subject": f"Dear {FIRST}", "body": f"{LAST} has {NEW}",
            "audience": {"learners": ["A"]},
        },
    }  # fmt: skip
    return [world.event(type_, {**data, **MORE}, extension=NEW, **extra) for type_, data in told.items()]


def unheard_of(world: World) -> list[bytes]:
    """Events that say who somebody is and cannot be applied, of each kind of trouble."""
    named = {"learner": "A", **MORE}
    texts = {"subject": f"About {FIRST} {LAST}", "body": f"Ask {OLD}"}
    return [
        world.event("course.started", {"course": "unknown", **named}),
        world.event("course.completed", {"course": "unknown", "result": FIRST, **named}),
        world.event("learner.status_changed", {"learner": "nobody", "status": "active", **MORE}),
        world.event("enrolment.requested", {"request": "w", "course": "unknown", "segment": "none", **MORE}),
        world.event("announcement.requested", {"announcement": "w", "audience": {"segments": ["none"]}, **texts}),
        world.event("learner.status_changed", {"learner": "A", "status": NEW}),
        world.event("learner.saved", {**world.learner("A", **CALLED), "email": 7}),
        world.event("learner.saved", world.learner("A", **CALLED, email=NEW, locale="xx")),
        world.event("learner.renamed", {"learner": "A", "to": USERNAME}),
        f'{{"cut": "{NEW}", "da'.encode(),
        f"no JSON, but {NEW}".encode(),
    ]


def plant(world: World) -> None:
    """Name the learners A and U, who signs in by username, in every way in."""
    runtime = world.runtime
    world.execute("ALTER TABLE learners ADD CHECK (locale <> 'xx')")
    world.mail.on_recipient = lambda address, times: (
        f"451 4.2.1 {address} ({USERNAME}) not now" if CANARY in address.lower() and times < 2 else None
    )
    ingress.ensure_group(world.redis)
    world.redis.xgroup_create(IN, "elsewhere", id="0")
    world.redis.xgroup_create(OUT, "elsewhere", id="0", mkstream=True)
    bodies = [
        world.event("learner.saved", world.learner("A", **CALLED, email=OLD, version=1), at=DAWN),
        world.event("learner.saved", world.learner("U", **CALLED, email=None, version=1), at=DAWN),
        world.event("learner.saved", world.learner("B"), at=DAWN),
        *of_every_type(world),
        world.event("learner.saved", world.learner("A", **CALLED, email=NEW, version=9)),
    ]
    for body in bodies:
        world.redis.xadd(IN, {"event": body})
    world.redis.xreadgroup(GROUP, "dead", {IN: ">"})
    ingress.take_over(runtime, world.redis, "living", 0)
    world.comes_to_rest()
    world.becomes("inactive", "U")
    world.becomes("active", "U")
    world.send(*unheard_of(world))
    _by_hand(world)
    world.comes_to_rest()
    now = datetime.now(UTC)
    world.send(world.event("learner.saved", world.learner("A", **CALLED, email=OLD, version=2), at=now))
    IndexLearners(runtime).do()
    with transaction(runtime.engine) as connection:
        through = replays.published(connection)
        replays.replay(connection, replays.ReplayRequest(since=1), through, dry=False)
    world.comes_to_rest()
    bounce(world)
    _answers(world)


def _by_hand(world: World) -> None:
    """What people do."""
    runtime = world.runtime
    do(world, learners.deactivate, learners.LearnerToggle("A"))
    do(world, learners.activate, learners.LearnerToggle("A"))
    do(world, learners.subscribe, learners.SubscriptionChange(["A"], subscribed=False))
    do(world, learners.subscribe, learners.SubscriptionChange(["A"], subscribed=True))
    do(world, suppressions.add, suppressions.NewSuppression(OLD, WHY))
    do(world, suppressions.remove, suppressions.SuppressionsChosen([OLD], why=WHY))
    do(world, suppressions.add, suppressions.NewSuppression(OLD, WHY))
    do(world, drafts.create, drafts.NewDraft(f"Hello {FIRST}", f"{FIRST} {LAST}", Audience(everyone=True), "draft"))
    do(world, previews.test, previews.TrialOf("draft", NEW, "A"))
    held = world.list("SELECT seq FROM inbox WHERE state = 'quarantined' ORDER BY seq LIMIT 1")
    do(world, events.discard, events.Discarding(held[0], WHY))
    for dry_run in (False, True):
        run = imports.ImportRun(file=BytesIO(FILE.encode()), status=StatusOfAll.KEEP, dry_run=dry_run)
        do(world, imports.run, run)
    secrets = [runtime.endpoints.secret_key]
    with once(runtime.engine, secrets, caller(), "acme", "key", b"asked") as request:
        request.first = FirstAnswer(200, f"{CALLED} {NEW}".encode())


def _answers(world: World) -> None:
    """A webhook that refuses what it is sent, and says whose it is."""
    with world.about() as (connection, org):
        _, kept = webhooks.SigningKeys(world.runtime.endpoints.secret_key).make()
        webhooks.add(connection, org.organisation, "w", "https://w.invalid", None, kept, None)
    world.execute(
        """
        INSERT INTO webhook_attempts (organisation, webhook, delivered, number, event, type, position, at, status,
                                      problem, milliseconds, said)
        SELECT organisation, 'w', false, row_number() OVER (ORDER BY seq), id, type, position, now(), 500, 'refused', 1,
               :said
        FROM outbox WHERE organisation = 1 AND position IS NOT NULL AND CAST(data AS text) ~ '"[AU]"'
        """,
        said=f"no {FIRST} here",
    )
