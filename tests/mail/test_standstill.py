"""A server that takes nothing and asks for patience each time is no secret: R21."""

import json

import pytest

from tasks.mail.rules import MailAttempt, MailResult, refusal
from tasks.mail.sending.answers import About, Stage
from tasks.mail.sending.pace import Circuit
from tasks.mail.sending.rates import _say, current_outages
from tasks.mail.sending.standstill import IN_A_ROW, SECONDS, STANDSTILL, is_sure, stands_still
from tests.isolation.conftest import Rollcall, rollcall
from tests.world import World

__all__ = ["rollcall"]

SAID = "4.7.1 Service unavailable - try again later"


def put_off(many: int, reply: str = SAID, code: int = 451) -> list[tuple[str, MailAttempt]]:
    return [("a", refusal(n, code, reply, Stage.END)) for n in range(many)]


def test_r21_it_is_sure_after_a_while_and_several_answers_and_ends_with_the_first_mail_that_is_taken() -> None:
    few = stands_still({}, put_off(IN_A_ROW - 1), 100.0)[STANDSTILL]
    assert isinstance(few, Circuit)
    assert not is_sure(few, 100.0 + 10 * SECONDS)

    more = stands_still({STANDSTILL: few}, put_off(1), 100.0 + SECONDS)[STANDSTILL]
    assert isinstance(more, Circuit)
    assert is_sure(more, 100.0 + SECONDS)
    assert (more.since, more.about, more.code, more.said, more.failures) == (100.0, "policy", 451, SAID, 1)
    assert stands_still({STANDSTILL: more}, put_off(9), 200.0) == {}, "nothing new"
    taken = ("b", MailAttempt(1, MailResult.ACCEPTED, code=250))
    assert stands_still({STANDSTILL: more}, [*put_off(9), taken], 200.0) == {STANDSTILL: None}
    assert stands_still({}, [*put_off(9), taken], 200.0) == {}


@pytest.mark.parametrize(
    ("code", "reply"), [(450, "4.2.0 Greylisted, see http://postgrey.example"), (452, "4.2.2 Mailbox full")]
)
def test_r21_what_is_about_one_mail_is_no_standstill(code: int, reply: str) -> None:
    assert stands_still({}, put_off(50, reply, code), 100.0) == {}


def test_r21_a_server_that_takes_nothing_for_a_while_is_shown(world: World, rollcall: Rollcall) -> None:
    world.has_learners(*(f"L{n}" for n in range(IN_A_ROW)))
    world.mail.on_data = lambda _address: f"451 {SAID}"
    world.announces()
    world.settle()
    long_ago(world)

    (told,) = json.loads(rollcall("status", "--json").stdout)["mail_stopped"]
    assert (told["where"], told["code"], told["said"]) == ("everywhere", 451, SAID)
    assert world.list("SELECT DISTINCT attempts FROM deliveries") == [0]
    world.mail.reset()
    world.comes_to_rest(60)
    assert current_outages(world.redis, world.runtime.endpoints.mail_from) == []


def long_ago(world: World) -> None:
    """What stands still began a minute before."""
    for name in world.redis.scan_iter("rollcall:pace:*:@outages"):
        kept = json.loads(world.redis.hget(name, STANDSTILL) or b"{}")
        world.redis.hset(name, STANDSTILL, json.dumps({**kept, "since": kept["since"] - 60}))


def test_it_is_logged_once_it_is_sure_and_once_it_ends(capsys: pytest.CaptureFixture[str]) -> None:
    unsure = Circuit(0, 1.0, since=1.0, about=About.POLICY.value, said=SAID, in_a_row=1)
    sure = Circuit(1, 1.0, since=1.0, about=About.POLICY.value, said=SAID, in_a_row=9)
    _say({}, {STANDSTILL: unsure}, 2.0)
    _say({STANDSTILL: unsure}, {STANDSTILL: None}, 2.0)
    assert capsys.readouterr().out == ""
    _say({STANDSTILL: unsure}, {STANDSTILL: sure}, 9.0)
    _say({STANDSTILL: sure}, {STANDSTILL: None}, 12.0)
    lines = capsys.readouterr().out.splitlines()
    assert ["mail.stopped" in lines[0], "mail.goes_again" in lines[1], len(lines)] == [True, True, 2]
