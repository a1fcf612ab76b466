"""The walks in docs/architecture.md: each hop exists, and is called in the order in which the page names them."""

import importlib
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from config.settings import Settings
from config.streams import IN
from tasks.mail import delivery
from tests.world import World
from workers import ingress

ROOT = Path(__file__).parents[2]

HOP = re.compile(r"(?m)^\| (\d+) \| `([\w/]+)\.py` \| `([\w.]+)` \| \S.+ \|$")

#: A hop: a module's path without its ending, and the qualified name of a function in it.
Hop = tuple[str, str]


def walks() -> dict[str, list[Hop]]:
    """The hops of each walk, by its heading; one that does not begin at 1 begins as the first of them does."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    _, _, walked = page.partition("\n## Three walks through the code\n")
    found: dict[str, list[Hop]] = {}
    for part in walked.partition("\n## ")[0].split("\n### ")[1:]:
        hops = HOP.findall(part)
        assert len(hops) == len(re.findall(r"(?m)^\| \d", part)), "each row names one hop"
        shared = next(iter(found.values()), [])[: int(hops[0][0]) - 1]
        found[part.partition("\n")[0]] = shared + [(file, name) for _, file, name in hops]
        assert [int(n) for n, *_ in hops] == list(range(len(shared) + 1, len(shared) + 1 + len(hops)))
    return found


WALKS = walks()


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """A few learners are more than a chunk."""
    return settings.model_copy(update={"rollcall_chunk": 2})


@contextmanager
def followed() -> Iterator[list[Hop]]:
    """Every call of a function of ours until the block ends, in this thread and in those that are started meanwhile."""
    called: list[Hop] = []
    ended = threading.Event()
    modules: dict[str, str | None] = {}

    def follow(frame: FrameType, what: str, _about: object) -> None:
        if ended.is_set():
            sys.setprofile(None)
        elif what == "call":
            file = frame.f_code.co_filename
            if file not in modules:
                path = Path(file)
                modules[file] = str(path.relative_to(ROOT).with_suffix("")) if path.is_relative_to(ROOT) else None
            if (module := modules[file]) is not None:
                called.append((module, frame.f_code.co_qualname))

    threading.setprofile(follow)
    sys.setprofile(follow)
    try:
        yield called
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
        ended.set()


def renew_mailer(world: World) -> None:
    """Close the mailer of an earlier test: its thread was started before, and would not be followed."""
    settings = world.runtime.settings
    connections, timeout = settings.rollcall_smtp_connections, settings.rollcall_smtp_timeout_seconds
    delivery._mailer(world.runtime.endpoints.smtp_url, connections, timeout).close()
    delivery._mailer.cache_clear()


def follow_stream(world: World, monkeypatch: pytest.MonkeyPatch, body: bytes) -> list[Hop]:
    """What is called for an event, from the bytes on the stream until everything is done that follows from it."""
    reading = replace(world.runtime, stopping=threading.Event())
    take: Callable[..., list[Any]] = ingress._process_entries

    def take_and_stop(*arguments: object) -> list[Any]:
        left = take(*arguments)
        reading.stopping.set()
        return left

    monkeypatch.setattr(ingress, "_process_entries", take_and_stop)  # or the ingress goes on reading
    monkeypatch.setattr(delivery, "TURN_SECONDS", 60.0)  # or a slow machine gives a piece back in between
    renew_mailer(world)
    world.redis.xadd(IN, {"event": body})
    with followed() as called:
        ingress.run(reading)
        world.settle()
    return called


def check(walk: str, called: list[Hop]) -> None:
    """Each hop of a walk is called for the first time after the one before it; one that is named again, once more."""
    at, named = -1, set[Hop]()
    for n, hop in enumerate(WALKS[walk], 1):
        assert hop in called[at + 1 :], f"hop {n} of “{walk}”, {hop}, is not called after the hop before it"
        first = called.index(hop, at + 1 if hop in named else 0)
        assert first > at, f"hop {n} of “{walk}”, {hop}, is called before the hop before it"
        at = first
        named.add(hop)


def test_the_document_has_three_walks() -> None:
    assert list(WALKS) == ["A course start", "A course for everyone", "An announcement"]


@pytest.mark.parametrize("walk", WALKS)
def test_each_hop_is_a_function_that_exists(walk: str) -> None:
    for file, name in WALKS[walk]:
        found = attrgetter(name)(importlib.import_module(file.replace("/", ".")))
        assert callable(found)


def test_a_course_start_goes_the_way_that_the_document_says(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.has_learners("A")
    world.has_course("safety")
    world.asks_to_enrol("safety", "A", notify=False)
    world.settle()

    called = follow_stream(
        world, monkeypatch, world.event("course.started", {"learner": "A", "course": "safety", "cycle": 1})
    )

    assert [consumed["learner"] for consumed in world.out("seat.consumed")] == ["A"]
    check("A course start", called)


def test_a_course_for_everyone_goes_the_way_that_the_document_says(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.has_learners(*"ABCDE")
    course = {"course": "safety", "title": "Safety", "cost": 1, "on_hold": False, "method": "everyone", "segments": []}

    called = follow_stream(world, monkeypatch, world.event("course.saved", course))

    assert sum(len(changed["enrolled"]) for changed in world.out("enrolment.changed")) == 5
    assert len(world.mail.taken) == 5
    check("A course for everyone", called)


def test_an_announcement_goes_the_way_that_the_document_says(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.has_learners(*"ABCDE")
    news = {"announcement": "news", "subject": "News", "body": "Hello.", "audience": {"everyone": True}}

    called = follow_stream(world, monkeypatch, world.event("announcement.requested", news))

    assert [finished["accepted"] for finished in world.out("announcement.finished")] == [5]
    assert len(world.mail.taken) == 5
    check("An announcement", called)
    judged = called.index(("tasks/intake/batch", "judge_messages"))
    assert called.index(WALKS["An announcement"][4]) < judged < called.index(WALKS["An announcement"][5])
