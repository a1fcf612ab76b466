"""One pace for all workers, through a real Valkey that comes and goes: R21, R31."""

import math
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from config.streams import make_redis
from tasks.mail.rules import MailAttempt, MailResult
from tasks.mail.sending import rates as module
from tasks.mail.sending.rates import Feedback, Rates
from tests.workers.deployment import Valkey

pytestmark = pytest.mark.serves


@pytest.fixture
def valkey() -> Iterator[Valkey]:
    with TemporaryDirectory(prefix="rollcall-") as folder:  # a socket's path must be short
        server = Valkey(Path(folder))
        yield server
        server.stop()


def worker(valkey: Valkey, rate: float = 0.0, domain_rate: float = 0.0, pause: float = 60.0) -> Rates:
    return Rates(valkey.url, "us@y.example", rate=rate, domain_rate=domain_rate, pause=pause)


def allowed(rates: Rates, mails: int, domain: str = "x.example") -> int:
    return sum(rates.grant([domain] * mails, waited_for=True).allowed)


def test_r21_workers_have_one_rate_together(valkey: Valkey) -> None:
    one, other = worker(valkey, rate=100), worker(valkey, rate=100)
    went = allowed(one, 80) + allowed(other, 80)
    assert 100 <= went <= 110, "what came in meanwhile, besides"


def test_r21_workers_that_ask_at_once_never_get_more_than_there_is(valkey: Valkey) -> None:
    workers = [worker(valkey, rate=50) for _ in range(6)]
    went: list[int] = []
    together = threading.Barrier(len(workers))

    def ask(rates: Rates) -> None:
        together.wait()
        went.append(allowed(rates, 30))

    begun = time.monotonic()
    threads = [threading.Thread(target=ask, args=(rates,)) for rates in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(went) <= 50 + 50 * (time.monotonic() - begun) + 1


def test_r21_what_one_worker_learns_slows_all_of_them_down(valkey: Valkey) -> None:
    one, other = worker(valkey), worker(valkey)
    assert allowed(other, 500) == 500
    one.learn(Feedback([("x.example", MailAttempt(1, MailResult.THROTTLED, code=421))] * 10, 1.0))
    assert allowed(other, 500) < 20


def test_r21_a_circuit_opened_by_one_worker_is_open_for_all(valkey: Valkey) -> None:
    one, other = worker(valkey), worker(valkey)
    one.learn(Feedback([("x.example", MailAttempt(1, MailResult.UNREACHABLE))], 1.0))
    assert allowed(other, 10) == 0
    one.learn(Feedback([("x.example", MailAttempt(1, MailResult.ACCEPTED, code=250))], 1.0))
    assert allowed(other, 10) == 10


def test_r21_feedback_that_waited_is_learnt_before_the_next_mails_are_asked_for_and_in_one_question(
    valkey: Valkey,
) -> None:
    one, other = worker(valkey), worker(valkey)
    one.learn(Feedback([("y.example", MailAttempt(1, MailResult.UNREACHABLE))], 1.0))
    assert allowed(one, 10) == allowed(other, 10) == 0
    accepted = Feedback([("y.example", MailAttempt(1, MailResult.ACCEPTED, code=250))], 1.0)

    with make_redis(valkey.url) as client:
        assert all(one.grant(["x.example"] * 10, waited_for=True, feedback=accepted).allowed)
        assert allowed(other, 10) == 10
        client.config_resetstat()
        assert all(one.grant(["x.example"] * 10, waited_for=True, feedback=accepted).allowed)
        assert client.info("commandstats")["cmdstat_mget"]["calls"] == 1


@pytest.mark.parametrize("answer", MailResult)
def test_r21_feedback_may_wait_if_all_was_accepted_and_only_while_it_says_how_things_stand(answer: MailResult) -> None:
    both = [("x.example", MailAttempt(1, MailResult.ACCEPTED)), ("x.example", MailAttempt(2, answer))]
    assert Feedback(both, 1.0).may_wait == (answer is MailResult.ACCEPTED)
    assert not Feedback(both, 1.0, refused=MailAttempt(0, MailResult.UNREACHABLE)).may_wait
    assert Feedback(both, 1.0).is_fresh
    assert not Feedback(both, 1.0, made=time.monotonic() - module.FRESH_SECONDS).is_fresh


def test_r21_while_redis_is_away_each_keeps_to_its_share(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PRESENT_EVERY_SECONDS", 0.0)
    one, other = worker(valkey, rate=100), worker(valkey, rate=100)
    allowed(one, 1)
    allowed(other, 1)
    allowed(one, 1)  # by now each has counted both
    valkey.stop()

    assert 45 <= allowed(one, 100) <= 55
    assert 45 <= allowed(other, 100) <= 55


def test_r21_while_redis_is_away_what_throttling_left_is_shared_too(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PRESENT_EVERY_SECONDS", 0.0)
    one, other = worker(valkey), worker(valkey)
    allowed(one, 1)
    allowed(other, 1)
    one.learn(Feedback([("x.example", MailAttempt(1, MailResult.THROTTLED, code=421))] * 1000, 1.0))
    allowed(one, 1)
    valkey.stop()

    begun = time.monotonic()
    went = [allowed(one, 10_000)]
    while sum(went) < 100:
        went.append(allowed(one, 10_000))
    assert sum(went) <= 600 * (time.monotonic() - begun) + 1, "half of the thousand a second that were left"


def test_r33_a_redis_that_comes_back_empty_holds_up_nobody(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AWAY_SECONDS", 0.0)
    rates = worker(valkey, rate=100)
    assert allowed(rates, 1000) == 100
    valkey.stop()
    allowed(rates, 1)
    valkey.restart()
    assert allowed(rates, 1000) == 100


def test_nothing_personal_is_kept(valkey: Valkey) -> None:
    rates = worker(valkey, rate=100, domain_rate=50)
    allowed(rates, 3)
    rates.learn(Feedback([("x.example", MailAttempt(7, MailResult.THROTTLED, code=450, on_recipient=True))], 1.0))
    with make_redis(valkey.url) as client:
        keys = sorted(key.decode() for key in client.scan_iter())
        assert all(client.ttl(key) > 0 for key in keys)
    known = ["@circuit @standstill", "@outages", "@sender", "@workers", "x.example"]
    assert keys == [f"rollcall:pace:us@y.example:{name}" for name in known]


def test_without_limits_nothing_is_written_but_who_is_there(valkey: Valkey) -> None:
    rates = worker(valkey)
    assert rates.grant(["x.example"] * 200, waited_for=False).allowed == [True] * 200
    with make_redis(valkey.url) as client:
        assert [key.decode() for key in client.scan_iter()] == ["rollcall:pace:us@y.example:@workers"]
    assert math.isfinite(rates.grant(["x.example"], waited_for=True).wait)


@pytest.mark.parametrize("state", ["full", "read-only", "not ours"])
def test_r33_a_redis_that_cannot_be_used_holds_up_nobody(
    valkey: Valkey, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PRESENT_EVERY_SECONDS", 0.0)
    rates = worker(valkey, rate=100)
    with make_redis(valkey.url) as client:
        if state == "full":
            client.config_set("maxmemory", "1")
        elif state == "read-only":
            client.replicaof("127.0.0.1", "1")
        else:
            client.set("rollcall:pace:us@y.example:@sender", "{")

        assert allowed(rates, 50) == 50
        rates.learn(Feedback([("x.example", MailAttempt(1, MailResult.ACCEPTED, code=250))], 1.0))
