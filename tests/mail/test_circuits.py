"""What would meet everybody, the circuits that follow from it, and what is said of them. R21, R31."""

import math
import socket
import ssl
from dataclasses import replace
from datetime import timedelta

import aiosmtplib
import pytest

from tasks.mail.rules import (
    ANYWHERE,
    FIRST,
    LONGEST_ALONE,
    LONGEST_OUT,
    Before,
    MailAttempt,
    MailResult,
    RetryPolicy,
    hold_back,
    outcome_of,
)
from tasks.mail.sending.answers import About, Stage
from tasks.mail.sending.outages import as_said, not_reached
from tasks.mail.sending.pace import CIRCUIT, SURE, Circuit, Limits, State, circuit_of, granted, learnt
from tests.world import DAWN

FREE = Limits(math.inf, math.inf, 1.0)


def refusal(what: About = About.POLICY, stage: Stage = Stage.RCPT, recipient: int = 1) -> MailAttempt:
    return MailAttempt(recipient, MailResult.REFUSED, code=554, reply="5.7.1 Access denied", about=what, stage=stage)


def accepted(recipient: int = 2) -> MailAttempt:
    return MailAttempt(recipient, MailResult.ACCEPTED, code=250)


def refused(domain: str, many: int = SURE, what: About = About.POLICY) -> list[tuple[str, MailAttempt]]:
    return [(domain, refusal(what, recipient=n)) for n in range(many)]


def after(state: State, *attempts: tuple[str, MailAttempt], now: float = 0.0) -> State:
    hold_back(attempts, {}, {})
    changes = learnt(state, attempts, FREE, now, mails_a_second=1.0)
    return {key: value for key, value in {**state, **changes}.items() if value is not None}


class TestWhatWouldMeetEverybody:
    @pytest.mark.parametrize("what", [About.SIGN_IN, About.SENDER, About.REPUTATION, About.POLICY])
    def test_r21_a_refusal_of_us_uses_up_nothing_as_long_as_nobody_is_taken(self, what: About) -> None:
        attempts = [refusal(what, recipient=n) for n in range(5)]
        hold_back([("a", attempt) for attempt in attempts], {}, {})
        assert {attempt.answer for attempt in attempts} == {MailResult.REFUSED_US}

        outcome = outcome_of(attempts[0], FIRST, RetryPolicy(1, LONGEST_OUT * 9, LONGEST_OUT * 99), policy="hold")
        assert (outcome.state.value, outcome.reason, outcome.tried) == ("pending", "refused us", False)
        assert outcome.due_at == attempts[0].at + LONGEST_OUT

    @pytest.mark.parametrize(
        ("code", "what", "expected"),
        [
            (550, About.RATE, MailResult.REFUSED_US),
            (451, About.RATE, MailResult.THROTTLED),
            (454, About.SIGN_IN, MailResult.REFUSED_US),
            (450, About.REPUTATION, MailResult.THROTTLED),
        ],
    )
    def test_r21_a_quota_that_is_used_up_and_a_sign_in_are_no_throttling(
        self, code: int, what: About, expected: MailResult
    ) -> None:
        attempts = [MailAttempt(1, MailResult.THROTTLED, code=code, about=what, stage=Stage.RCPT)]
        hold_back([("a", attempt) for attempt in attempts], {}, {})
        assert attempts[0].answer is expected
        attempts = [MailAttempt(1, MailResult.THROTTLED, code=code, about=what, stage=Stage.RCPT), accepted()]
        hold_back([("a", attempt) for attempt in attempts], {}, {})
        assert attempts[0].answer is MailResult.THROTTLED

    @pytest.mark.parametrize("what", [About.CONTENT, About.PROTOCOL, About.UNCLEAR, About.FULL, About.MAILBOX])
    def test_r21_what_is_about_one_mail_or_one_mailing_stops_nobody(self, what: About) -> None:
        attempts = [refusal(what)]
        hold_back([("a", attempt) for attempt in attempts], {}, {})
        assert attempts[0].answer is MailResult.REFUSED

    def test_r31_a_policy_on_contents_stops_nobody_else(self) -> None:
        attempts = [refusal(About.POLICY, Stage.END)]
        hold_back([("a", attempt) for attempt in attempts], {}, {})
        assert attempts[0].answer is MailResult.REFUSED

    def test_r21_whom_it_refuses_while_it_takes_others_of_the_domain_has_failed(self) -> None:
        attempts = [refusal(), accepted(), refusal(recipient=3)]
        hold_back([("a", attempt) for attempt in attempts], {}, {})
        assert [attempt.answer for attempt in attempts] == [
            MailResult.REFUSED,
            MailResult.ACCEPTED,
            MailResult.REFUSED_US,
        ]

        again = refusal(recipient=3)
        hold_back([("a", again)], {3: Before(put_off=1, since=DAWN)}, {"a": again.at})
        assert again.answer is MailResult.REFUSED

    @pytest.mark.parametrize(
        ("waited", "expected"), [(LONGEST_ALONE / 2, MailResult.REFUSED_US), (LONGEST_ALONE * 2, MailResult.REFUSED)]
    )
    def test_r21_a_domain_that_alone_refuses_is_waited_for_but_not_for_ever(
        self, waited: timedelta, expected: MailResult
    ) -> None:
        again, nobody = refusal(recipient=3), refusal(recipient=3)
        before = {3: Before(put_off=1, since=again.at - waited)}
        hold_back([("a", again)], before, {ANYWHERE: again.at})
        hold_back([("a", nobody)], before, {})
        assert (again.answer, nobody.answer) == (expected, MailResult.REFUSED_US)


class TestCircuits:
    def test_r31_a_domain_that_refuses_us_holds_up_no_other(self) -> None:
        state = after({}, *refused("a"))
        assert state.keys() == {circuit_of("a")}

        grant, changes = granted(state, ["a", "b", "a", "b"], FREE, 0.5, reserve=0.0)
        assert (grant.allowed, grant.out) == ([False, True, False, True], [True, False, True, False])
        assert (grant.out_wait, changes) == (0.5, {})

        probe, _ = granted(state, ["a", "b", "a"], FREE, 1.0, reserve=0.0)
        assert (probe.allowed, probe.out) == ([True, True, False], [False] * 3)
        assert after(state, ("b", accepted())) == state
        assert after(state, ("a", accepted())) == {}

    @pytest.mark.parametrize(
        "attempts",
        [
            refused("a", what=About.SIGN_IN),
            [("a", refusal(About.SENDER, Stage.MAIL))],
            [*refused("a", SURE // 2), *refused("b", SURE // 2)],
        ],
        ids=["sign-in", "at MAIL", "two domains"],
    )
    def test_r21_what_is_refused_whatever_the_domain_stops_everybody(
        self, attempts: list[tuple[str, MailAttempt]]
    ) -> None:
        copies = [(domain, replace(attempt)) for domain, attempt in attempts]
        state = after({}, *copies)
        circuit = state[CIRCUIT]
        assert isinstance(circuit, Circuit)
        assert (circuit.since, circuit.code, circuit.said, circuit.refused) == (0.0, 554, "5.7.1 Access denied", True)
        assert granted(state, ["c"], FREE, 0.5, reserve=0.0)[0].allowed == [False]

        still = learnt(state, [], FREE, 5.0, mails_a_second=0.0, connected=True)
        assert still == {}, "that we can connect says nothing"
        assert after(state, ("c", accepted()), now=5.0) == {}

    def test_r31_a_few_refusals_are_shown_and_hold_up_nobody_until_it_is_sure(self) -> None:
        state: State = {}
        for n in range(SURE):
            held_up = granted(state, ["a"] * 3, FREE, 0.5, reserve=0.0)[0].allowed != [True] * 3
            assert not held_up, f"after {n}"
            state = after(state, ("a", refusal()))
            assert state.keys() == {circuit_of("a")}
        assert granted(state, ["a"] * 3, FREE, 0.5, reserve=0.0)[0].allowed == [False] * 3
        assert after(state, ("a", accepted())) == {}

    def test_the_time_since_when_it_is_out_stays_and_the_words_are_the_last(self) -> None:
        state = after({}, ("a", MailAttempt(1, MailResult.UNREACHABLE, reply="Connection refused")), now=7.0)
        state = after(state, ("a", MailAttempt(1, MailResult.UNREACHABLE, reply="no answer in time")), now=9.0)
        circuit = state[CIRCUIT]
        assert isinstance(circuit, Circuit)
        assert (circuit.failures, circuit.since, circuit.said) == (2, 7.0, "no answer in time")

    def test_r21_what_is_said_of_us_before_a_recipient_is_named_is_about_all(self) -> None:
        state = after({}, *refused("a", 1, About.SIGN_IN), ("b", accepted()))
        assert circuit_of("a") in state
        assert CIRCUIT not in state
        assert CIRCUIT not in after(state, *refused("a", 1, About.SIGN_IN)), "the one domain, as before"
        assert CIRCUIT in after(state, *refused("a", 1, About.SIGN_IN), *refused("b", 1, About.SIGN_IN))
        assert CIRCUIT in after(state, ("a", refusal(About.SIGN_IN, Stage.MAIL)))


class TestWhatIsSaid:
    @pytest.mark.parametrize(
        ("problem", "expected"),
        [
            (ConnectionRefusedError(111, "Connect call failed ('127.0.0.1', 1)"), (None, "Connect call failed", None)),
            (socket.gaierror(-2, "Name or service not known"), (None, "Name or service not known", None)),
            (TimeoutError(), (None, "no answer in time", None)),
            (aiosmtplib.SMTPAuthenticationError(535, "5.7.8 no"), (535, "5.7.8 no", About.SIGN_IN)),
            (aiosmtplib.SMTPConnectResponseError(554, "go away"), (554, "go away", About.REPUTATION)),
        ],
    )
    def test_the_words_are_those_that_were_said(
        self, problem: Exception, expected: tuple[int | None, str, About | None]
    ) -> None:
        code, said, what = not_reached(problem)
        assert (code, what) == (expected[0], expected[2])
        assert said.startswith(expected[1])

    def test_tls_says_what_is_wrong_with_a_certificate(self) -> None:
        problem = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed")
        problem.verify_message = "certificate has expired"
        wrapped = aiosmtplib.SMTPConnectError("Error connecting to mail.example on port 465: …")
        wrapped.__cause__ = problem
        assert not_reached(wrapped) == (None, "certificate verify failed: certificate has expired", About.SIGN_IN)

    def test_no_secret_and_no_address_is_repeated(self) -> None:
        said = as_said("5.7.8 jan@school.example: s3cret\r\nis wrong for <jan@school.example>", ("s3cret", None))
        assert said == "5.7.8 …: … is wrong for <…>"
