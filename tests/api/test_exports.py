"""Exports: as much is made as is read, whoever stops reading gives everything back, and one has a few at once."""

import http.client
import itertools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import pytest

from tasks import acts
from tasks.accounts import Role
from tasks.acts.acting import ACTS, Act, Doing, Nothing
from tasks.acts.paging import Stream
from tests.api.conftest import Client, Served
from tests.workers.deployment import until
from workers.web import exporting
from workers.web.exporting import OF_ONE, OF_ORGANISATION

#: Bytes of a block: a row of the kernel's buffers is soon full of them.
BLOCK = b"x" * 65_535 + b"\n"

#: Blocks that the kernel and the server may hold for somebody who does not read.
HELD = 200


class Endless:
    """An export without an end, or with `most` blocks, which counts the blocks that were taken of it, and notes when it
    is closed."""

    def __init__(self) -> None:
        self.taken = self.closed = 0
        self.most: int | None = None

    def blocks(self) -> Iterator[bytes]:
        """More and more."""
        try:
            for _ in range(self.most) if self.most else itertools.count():
                self.taken += 1
                yield BLOCK
        finally:
            self.closed += 1

    def __call__(self, _doing: Doing, _asked: Nothing) -> Stream:
        """The act."""
        return Stream("application/jsonl", self.blocks(), "rows.jsonl")


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> Endless:
    """An endless report of training."""
    found = Endless()
    acts.every()
    act: Act[Any, Any] = Act("reports.training", "GET", "endless", found, Nothing, Stream, False, 200)
    monkeypatch.setitem(ACTS, "reports.training", act)
    return found


@contextmanager
def reading(client: Client) -> Iterator[tuple[http.client.HTTPConnection, http.client.HTTPResponse]]:
    """An export that somebody has begun to read."""
    connection = http.client.HTTPConnection(urlsplit(client.public_url).netloc, timeout=20)
    target = f"/api/v1/organisations/{client.organisation}/endless"
    connection.request("GET", target, headers={"Authorization": f"Bearer {client.token}"})
    response = connection.getresponse()
    try:
        yield connection, response
    finally:
        response.close()
        connection.close()


def test_no_more_is_made_than_is_read_and_whoever_stops_gives_it_back(endless: Endless, api: Served) -> None:
    admin = api.client()
    with reading(admin) as (_, response):
        assert response.getheader("content-disposition") == 'attachment; filename="rows.jsonl"'
        assert response.read(10) == BLOCK[:10]
        assert admin.get("courses").status == HTTPStatus.OK  # meanwhile it is filled as far as it goes
        read = sum(len(response.read(len(BLOCK))) for _ in range(100)) // len(BLOCK)
        assert endless.taken <= read + HELD

    until(lambda: endless.closed == 1, "the export is closed")
    with reading(admin) as (_, response):
        assert response.read(1) == b"x"


def test_one_caller_has_a_few_exports_at_once(endless: Endless, api: Served) -> None:
    admin, operator = api.client(), api.client(Role.OPERATOR)
    with reading(admin) as (_, first), reading(admin) as (_, second):
        assert first.read(1) == second.read(1) == b"x"
        third = admin.get("endless")
        with reading(operator) as (_, of_another):
            assert of_another.read(1) == b"x"

    assert OF_ONE == 2
    assert (third.status, third.headers["retry-after"]) == (429, "2")
    until(lambda: endless.closed == 3, "the exports are closed")


def test_an_export_that_fails_before_it_begins_is_a_problem(
    endless: Endless, api: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> Iterator[bytes]:
        raise ZeroDivisionError
        yield b""

    monkeypatch.setattr(endless, "blocks", fail)

    answers = [api.client().get("endless") for _ in range(OF_ONE + 1)]

    assert {answer.status for answer in answers} == {500}
    assert {answer.headers["content-type"] for answer in answers} == {"application/problem+json"}


def test_one_organisation_has_a_share_of_the_exports_and_no_more(endless: Endless, api: Served) -> None:
    replace(api.world, organisation="globex").has_organisation()
    token = api.client(Role.ADMIN, "globex", organisation="globex").token
    tokens = [api.client(Role.OPERATOR), api.client(), api.client(Role.ADMIN, "acme", "globex")]
    with ExitStack() as stack:
        for client in tokens[:OF_ORGANISATION]:
            _, response = stack.enter_context(reading(client))
            assert response.read(1) == b"x"
        refused = api.client(Role.ADMIN, "globex", "acme").get("endless")
        _, of_another = stack.enter_context(reading(Client(api.public_url, token, "globex")))
        assert of_another.read(1) == b"x"

    assert (refused.status, refused.headers["retry-after"]) == (429, "2")
    assert refused.json["detail"] == "This organisation has 3 exports under way: wait for one to end."
    until(lambda: endless.closed == OF_ORGANISATION + 1, "the exports are closed")


def test_an_export_ends_however_slowly_it_is_read(
    endless: Endless, api: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "SECONDS", 0.2)
    with reading(api.client()) as (_, response), pytest.raises((http.client.IncompleteRead, ConnectionError)):
        until(lambda: not response.read(len(BLOCK)), "the export ends")

    until(lambda: endless.closed == 1, "the export is closed")


def test_nothing_is_made_for_somebody_who_asks_for_the_head_alone(endless: Endless, api: Served) -> None:
    found = [api.client().ask("HEAD", "endless") for _ in range(OF_ONE + 1)]

    assert {(answer.status, answer.headers["content-type"], answer.body) for answer in found} == {
        (200, "application/jsonl", b"")
    }
    assert endless.taken == 0


def test_whoever_has_read_an_export_to_its_end_may_have_the_next(endless: Endless, api: Served) -> None:
    endless.most = 3
    admin = api.client()

    with reading(admin):
        answers = [admin.get("endless") for _ in range(20)]

    assert {(answer.status, len(answer.body)) for answer in answers} == {(200, 3 * len(BLOCK))}
