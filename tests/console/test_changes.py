"""What tells an open page that something changed: it says that, and nothing else, to those who may see the page."""

import http.client
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from config.database import transaction
from tasks import accounts
from tasks.accounts import Role
from tests.console.conftest import Consoled, Visitor
from workers.web.console import changes

USERS = "organisations/acme/users"


@pytest.fixture(autouse=True)
def _soon(console: Consoled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "LOOK_SECONDS", 0.05)
    console.world.has_organisation()
    console.world.has_learners("ann")


@contextmanager
def stream(visitor: Visitor, path: str = USERS) -> Iterator[http.client.HTTPResponse]:
    parts = urlsplit(visitor.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    cookie = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
    connection.request("GET", f"/console/{path}", headers={"Accept": "text/event-stream", "Cookie": cookie})
    yield connection.getresponse()
    connection.close()


def said(told: http.client.HTTPResponse) -> str:
    """The next tag, or nothing if the stream has ended."""
    while line := told.readline().decode():
        if line.startswith("data: "):
            return line
    return ""


def test_a_page_is_told_that_something_changed_and_not_what(console: Consoled) -> None:
    with stream(console.visitor(Role.READER)) as told:
        assert (told.status, told.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        first = said(told)
        console.world.becomes("inactive", "ann")
        second = said(told)

    assert first != second
    assert "ann" not in first + second


def test_nothing_is_missed_that_changes_after_a_page_was_made_and_before_its_stream_begins(console: Consoled) -> None:
    visitor = console.visitor()
    with stream(visitor) as told:
        assert said(told) == f"data: {visitor.open(USERS).made_of}\n", "a page that is as it was is not asked again"
    made = visitor.open(USERS).made_of
    console.world.becomes("inactive", "ann")
    with stream(visitor) as told:
        assert next(one for one in iter(lambda: said(told), "") if one != f"data: {made}\n")


def test_everybody_who_has_a_page_open_costs_one_question(console: Consoled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "LOOK_SECONDS", 600)
    visitor = console.visitor()
    with stream(visitor) as one:
        first = said(one)
        console.world.becomes("inactive", "ann")
        with stream(visitor) as another:
            assert said(another) == first, "as it was answered just now"
        with stream(visitor, f"{USERS}?tab=all") as other:
            assert said(other) != first, "another page has its own"


def test_a_stream_ends_with_the_session_and_is_no_use_of_it(console: Consoled) -> None:
    visitor = console.visitor()
    console.world.execute("UPDATE sessions SET used_at = now() - interval '5 minutes'")
    with stream(visitor) as told:
        assert said(told)
        assert console.world.ask("SELECT now() - used_at > interval '4 minutes' FROM sessions")
        with transaction(console.runtime.engine) as connection:
            accounts.end_session(connection, visitor.cookies["rollcall"])
        assert said(told) == ""
    with stream(visitor) as told:
        assert told.status == 204, "which a browser does not ask again"


def test_r31_a_stream_is_for_those_who_may_see_the_page(console: Consoled) -> None:
    with stream(console.visitor(Role.ADMIN, "zeta")) as told:
        assert told.status == 404
    with stream(console.visitor(None)) as told:
        assert told.status == 204


def test_one_person_has_few_streams_and_a_place_is_free_again_after_one(console: Consoled) -> None:
    visitor = console.visitor()
    opened = [stream(visitor) for _ in range(changes.OF_ONE)]
    for one in opened:
        assert said(one.__enter__())
    with stream(visitor) as refused:
        assert (refused.status, refused.headers["retry-after"]) == (503, "2")
    with stream(console.visitor(Role.OPERATOR)) as other:
        assert other.status == 200
    for one in opened:
        one.__exit__(None, None, None)

    def free() -> bool:
        with stream(visitor) as again:
            return again.status == 200

    assert any(free() for _ in range(100))


def test_the_process_ends_though_streams_are_open(console: Consoled) -> None:
    with stream(console.visitor()) as told:
        assert said(told)
        console.runtime.stopping.set()
        assert said(told) == ""
