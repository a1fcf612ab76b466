"""How fast mail may go, without any server: R21, R31."""

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tasks.mail.rules import FIRST, Before, Delivery, MailAttempt, MailResult, RetryPolicy, outcome_of
from tasks.mail.sending.answers import About, Stage
from tasks.mail.sending.pace import (
    CIRCUIT,
    FREE_RATE,
    LEAST_RATE,
    LONGEST_OPEN_SECONDS,
    LOWERED_ONCE_SECONDS,
    RECOVERY_SECONDS,
    RESERVE,
    SAMPLE,
    SENDER,
    Bucket,
    Changes,
    Circuit,
    Limits,
    State,
    granted,
    learnt,
)
from tests.world import DAWN

FREE = Limits(math.inf, math.inf, 1.0)


def after(state: State, changes: Changes) -> dict[str, Bucket | Circuit]:
    """The state once changes are written."""
    return {key: value for key, value in {**state, **changes}.items() if value is not None}


def put_off(code: int, *, on_recipient: bool = True) -> MailAttempt:
    return MailAttempt(1, MailResult.THROTTLED, code=code, on_recipient=on_recipient)


def accepted() -> MailAttempt:
    return MailAttempt(1, MailResult.ACCEPTED, code=250)


def silence() -> MailAttempt:
    return MailAttempt(1, MailResult.UNREACHABLE)


def test_without_limits_everything_goes_and_nothing_is_kept() -> None:
    grant, changes = granted({}, ["a", "b", "a"], FREE, 0.0, reserve=RESERVE)
    assert (grant.allowed, changes) == ([True] * 3, {})


@given(
    rate=st.floats(0.5, 500),
    asks=st.lists(st.tuples(st.floats(0, 3), st.integers(1, 300)), min_size=1, max_size=30),
    waited_for=st.booleans(),
)
def test_r21_no_more_goes_than_the_rate_allows_however_it_is_asked_for(
    rate: float, asks: list[tuple[float, int]], waited_for: bool
) -> None:
    limits = Limits(rate, math.inf, 1.0)
    state: State = {}
    now = went = 0.0
    for pause, wanted in asks:
        now += pause
        grant, changes = granted(state, ["a"] * wanted, limits, now, reserve=0.0 if waited_for else RESERVE)
        state = after(state, changes)
        went += sum(grant.allowed)
    assert went <= rate * now + max(rate, 1.0) + 1e-6


@given(
    rate=st.floats(0.5, 500),
    wanted=st.integers(1, 100),
    reserve=st.sampled_from([0.0, RESERVE]),
    of_the_sender=st.booleans(),
)
@example(rate=0.5, wanted=3, reserve=RESERVE, of_the_sender=True)
@example(rate=1.5, wanted=6, reserve=0.0, of_the_sender=False)
def test_r21_everything_goes_in_the_end_if_one_asks_again_when_told_to(
    rate: float, wanted: int, reserve: float, of_the_sender: bool
) -> None:
    limits = Limits(rate, math.inf, 1.0) if of_the_sender else Limits(math.inf, rate, 1.0)
    state: State = {}
    now, left, asked = 0.0, wanted, 0
    while left:
        grant, changes = granted(state, ["a"] * left, limits, now, reserve=reserve)
        state = after(state, changes)
        left -= sum(grant.allowed)
        now += grant.wait
        asked += 1
        assert asked <= 2 * wanted + 2, "asked far too often"
    assert now <= 2 * (wanted + 2) / rate + 1


def test_r31_a_slow_domain_holds_up_no_other() -> None:
    limits = Limits(math.inf, 2.0, 1.0)
    grant, _ = granted({}, ["slow"] * 5 + ["other"], limits, 0.0, reserve=0.0)
    assert grant.allowed == [True, True, False, False, False, True]


def test_r31_announcements_leave_a_part_to_what_is_waited_for() -> None:
    limits = Limits(100.0, math.inf, 1.0)
    grant, changes = granted({}, ["a"] * 200, limits, 0.0, reserve=RESERVE)
    assert sum(grant.allowed) == 90
    notice, _ = granted(after({}, changes), ["a"] * 20, limits, 0.0, reserve=0.0)
    assert sum(notice.allowed) == 10


@pytest.mark.parametrize("code", [421, 454])
def test_r21_a_server_that_asks_for_patience_is_sent_half_as_much_and_then_more_again(code: int) -> None:
    changes = learnt({}, [("a", put_off(code))] * 50, FREE, 10.0, mails_a_second=1000.0)
    bucket = changes[SENDER]
    assert isinstance(bucket, Bucket)
    assert bucket.rate(math.inf, 10.0) == 500.0
    assert bucket.rate(math.inf, 10.0 + RECOVERY_SECONDS) == 1000.0
    assert bucket.rate(200.0, 10.0 + 5 * RECOVERY_SECONDS) == 200.0, "never above what is set"
    assert math.isinf(bucket.rate(math.inf, 10.0 + RECOVERY_SECONDS * math.log2(FREE_RATE)))


def test_r21_what_was_under_way_when_a_rate_was_lowered_does_not_lower_it_again() -> None:
    state = after({}, learnt({}, [("a", put_off(421))], FREE, 10.0, mails_a_second=1000.0))
    again = learnt(state, [("a", put_off(421))], FREE, 10.0 + LOWERED_ONCE_SECONDS / 2, mails_a_second=1000.0)
    assert again[SENDER] == state[SENDER]
    later = learnt(state, [("a", put_off(421))], FREE, 10.0 + LOWERED_ONCE_SECONDS, mails_a_second=1000.0)
    assert later[SENDER] != state[SENDER]


@given(st.lists(st.floats(0, 5), max_size=60))
def test_r21_throttling_never_stops_mail_for_good(pauses: list[float]) -> None:
    state: State = {}
    now = 0.0
    for pause in pauses:
        now += pause
        state = after(state, learnt(state, [("a", put_off(421))], FREE, now, mails_a_second=50.0))
    bucket = state.get(SENDER, Bucket(0.0, now))
    assert isinstance(bucket, Bucket)
    assert bucket.rate(math.inf, now) >= LEAST_RATE


#: How servers put off one recipient, and what that is about; many say no more than "try again later".
LATER = [About.GREYLISTED, About.POLICY, About.ROUTE, About.UNCLEAR]

#: Whether a server takes this mail at this time, and what it says is the reason where it does not.
Server = Callable[[int, float], About | None]


def greylisting(part: float, delay: float, what: About) -> Server:
    """A part of the recipients is put off until their delay has passed."""
    first: dict[int, float] = {}

    def answers(mail: int, at: float) -> About | None:
        greylisted = mail % 100 < part * 100 and at < first.setdefault(mail, at) + delay
        return what if greylisted else None

    return answers


def throttling(rate: float, what: About) -> Server:
    """No more than so many a second are taken, as many at once at most."""
    tokens, then = rate, 0.0

    def answers(_mail: int, at: float) -> About | None:
        nonlocal tokens, then
        tokens, then = min(rate, tokens + (at - then) * rate), at
        if tokens < 1.0:
            return what
        tokens -= 1.0
        return None

    return answers


def sent_to(server: Server, mails: int, stage: Stage = Stage.RCPT) -> tuple[float, int]:
    """Send mails as a worker does, a thousand a second if the pace allows it; seconds that took, and mails tried."""
    patience = RetryPolicy(5, timedelta(seconds=30), timedelta(days=5))
    due = [(0.0, mail, FIRST) for mail in range(mails)]
    state: State = {}
    now, tried = 0.0, 0
    while due:
        due.sort(key=lambda one: one[:2])
        now = max(now, due[0][0])
        asked = [one for one in due[:200] if one[0] <= now]
        grant, changes = granted(state, ["a"] * len(asked), FREE, now, reserve=0.0)
        state = after(state, changes)
        answers: list[tuple[str, MailAttempt]] = []
        rest = due[len(asked) :]
        for (_, mail, before), allowed in zip(asked, grant.allowed, strict=True):
            if not allowed:
                rest.append((now + grant.wait, mail, before))
                continue
            at = now + len(answers) / 1000
            said = server(mail, at)
            attempt = MailAttempt(mail, MailResult.ACCEPTED, at=DAWN + timedelta(seconds=at), code=250)
            if said is not None:
                attempt = replace(
                    attempt,
                    answer=MailResult.THROTTLED,
                    code=450,
                    about=said,
                    stage=stage,
                    on_recipient=stage is Stage.RCPT,
                )
                outcome = outcome_of(attempt, before, patience, policy="hold")
                assert (outcome.state, outcome.tried) == (Delivery.PENDING, False)
                assert outcome.due_at is not None
                again = Before(0, before.put_off + 1, before.since or attempt.at)
                rest.append(((outcome.due_at - DAWN).total_seconds(), mail, again))
            answers.append(("a", attempt))
        tried += len(answers)
        seconds = len(answers) / 1000 + 0.005
        now += seconds
        rate = len(answers) / seconds
        state = after(state, learnt(state, answers, FREE, now, mails_a_second=rate, seconds=seconds))
        due = rest
    return now, tried


@pytest.mark.parametrize("what", LATER)
@pytest.mark.parametrize("part", [0.05, 0.1, 0.5, 0.9, 1.0])
def test_r21_greylisting_ends_within_twice_its_delay_whatever_its_part_and_its_words(part: float, what: About) -> None:
    took, _ = sent_to(greylisting(part, 60.0, what), 1000)
    assert took < 120.0


@pytest.mark.parametrize("stage", [Stage.DATA, Stage.END])
def test_r21_greylisting_after_the_data_slows_nobody_down_either(stage: Stage) -> None:
    took, _ = sent_to(greylisting(0.1, 60.0, About.UNCLEAR), 1000, stage)
    assert took < 120.0


@pytest.mark.parametrize("delay", [31.0, 100.0, 300.0, 1800.0])
def test_r21_a_longer_greylisting_ends_within_twice_its_delay_too(delay: float) -> None:
    took, _ = sent_to(greylisting(1.0, delay, About.GREYLISTED), 50)
    assert took < 2 * delay


@pytest.mark.parametrize("what", [About.RATE, About.UNCLEAR])
@pytest.mark.parametrize("rate", [5.0, 20.0, 100.0])
def test_r21_a_server_that_throttles_is_obeyed_also_if_it_does_not_say_that_it_is_the_rate(
    rate: float, what: About
) -> None:
    mails = int(min(rate * 30, 1000))
    took, tried = sent_to(throttling(rate, what), mails)
    assert took < 6 * mails / rate + 60
    assert tried < 3 * mails, "it slows down, or most would be tried in vain"


def test_r21_a_few_who_are_put_off_in_a_small_group_slow_nobody_down() -> None:
    state: State = {}
    for now in range(SAMPLE // 2):
        state = after(state, learnt(state, [("a", put_off(450))], FREE, float(now), mails_a_second=1.0))
        assert granted(state, ["a"] * 100, FREE, float(now), reserve=0.0)[0].allowed == [True] * 100


@pytest.mark.parametrize("said", [About.GREYLISTED, About.FULL, About.CONNECTIONS])
@pytest.mark.parametrize("code", [421, 450, 451])
def test_r21_what_is_not_about_the_rate_slows_nobody_down_not_even_all_of_it(said: About, code: int) -> None:
    attempts = [("a", replace(put_off(code), about=said)) for _ in range(10 * SAMPLE)]
    assert learnt({}, attempts, FREE, 10.0, mails_a_second=100.0, seconds=5.0) == {}


def test_r31_a_domain_that_says_that_it_is_the_rate_is_slowed_down_and_no_other() -> None:
    answers = (
        [("a", replace(put_off(451), about=About.RATE))] * 30 + [("a", accepted())] * 10 + [("b", accepted())] * 40
    )
    changes = learnt({}, answers, FREE, 10.0, mails_a_second=80.0, seconds=1.0)
    assert changes.keys() == {"a"}
    assert isinstance(changes["a"], Bucket)
    assert changes["a"].lowered == 10.0, "what it took"


def test_r21_the_refusal_of_a_connection_slows_nobody_down() -> None:
    away = MailAttempt(1, MailResult.UNREACHABLE, code=421, stage=Stage.CONNECT)
    assert SENDER not in learnt({}, [("a", away)], FREE, 0.0, mails_a_second=10.0)


@pytest.mark.parametrize("answer", [MailResult.UNREACHABLE, MailResult.AMBIGUOUS])
def test_r21_where_nobody_answers_the_circuit_opens_one_looks_and_an_answer_closes_it(answer: MailResult) -> None:
    state: State = after({}, learnt({}, [("a", MailAttempt(1, answer))], FREE, 0.0, mails_a_second=1.0))
    grant, changes = granted(state, ["a"] * 3, FREE, 0.5, reserve=0.0)
    assert (grant.allowed, grant.wait, changes) == ([False] * 3, 0.5, {})

    probe, changes = granted(state, ["a"] * 3, FREE, 1.0, reserve=0.0)
    assert probe.allowed == [True, False, False]
    state = after(state, changes)
    others, _ = granted(state, ["a"], FREE, 1.1, reserve=0.0)
    assert others.allowed == [False], "they wait for what comes of it"

    closed = after(state, learnt(state, [("a", accepted())], FREE, 1.2, mails_a_second=1.0))
    assert CIRCUIT not in closed


@given(st.integers(1, 40))
def test_r21_a_circuit_stays_open_longer_each_time_up_to_a_minute(times: int) -> None:
    state: State = {}
    now, waits = 0.0, []
    for _ in range(times):
        state = after(state, learnt(state, [("a", silence())], FREE, now, mails_a_second=1.0))
        circuit = state[CIRCUIT]
        assert isinstance(circuit, Circuit)
        waits.append(circuit.until - now)
        now = circuit.until
    assert waits == sorted(waits)
    assert waits[0] == FREE.pause
    assert max(waits) <= LONGEST_OPEN_SECONDS + 1e-6


def test_r21_one_that_answers_is_enough_to_keep_the_circuit_closed() -> None:
    assert CIRCUIT not in learnt({}, [("a", silence()), ("a", accepted())], FREE, 0.0, mails_a_second=1.0)
    assert learnt({}, [], FREE, 0.0, mails_a_second=1.0) == {}


def test_r21_a_server_that_lets_us_in_closes_the_circuit_also_where_it_was_too_late_to_begin() -> None:
    state = after({}, learnt({}, [("a", silence())], FREE, 0.0, mails_a_second=1.0))
    assert CIRCUIT in after(state, learnt(state, [], FREE, 1.0, mails_a_second=0.0)), "nothing was learnt"
    assert CIRCUIT not in after(state, learnt(state, [], FREE, 1.0, mails_a_second=0.0, connected=True))


def test_r21_a_server_that_refuses_us_before_any_message_opens_the_circuit() -> None:
    refused = MailAttempt(1, MailResult.UNREACHABLE, code=535)
    assert isinstance(learnt({}, [("a", refused)] * 10, FREE, 0.0, mails_a_second=1.0)[CIRCUIT], Circuit)


def test_r21_a_clock_that_was_set_back_stops_nothing() -> None:
    hour = 3600.0
    opened = after({}, learnt({}, [("a", silence())], FREE, hour, mails_a_second=1.0))
    assert granted(opened, ["a"], FREE, 0.0, reserve=0.0)[0].allowed == [True]

    limits = Limits(10.0, math.inf, 1.0)
    _, spent = granted({}, ["a"] * 10, limits, hour, reserve=0.0)
    _, changes = granted(after({}, spent), ["a"], limits, 0.0, reserve=0.0)
    assert sum(granted(after({}, changes), ["a"] * 5, limits, 1.0, reserve=0.0)[0].allowed) == 5

    lowered = after({}, learnt({}, [("a", put_off(421))], FREE, hour, mails_a_second=100.0))
    bucket = lowered[SENDER]
    assert isinstance(bucket, Bucket)
    assert bucket.spent(0, math.inf, 0.0).rate(math.inf, RECOVERY_SECONDS) == 2 * bucket.rate(math.inf, 0.0)
