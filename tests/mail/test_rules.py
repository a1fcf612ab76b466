"""What an attempt leaves in the ledger, and which refusals would meet everybody: R18, R19, R20, R21."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tasks.mail.rules import (
    ANYWHERE,
    FIRST,
    LONGEST_ALONE,
    LONGEST_OUT,
    NOBODY,
    SAMPLE,
    Before,
    Delivery,
    MailAttempt,
    MailResult,
    Outcome,
    RecipientKind,
    RetryPolicy,
    Verdict,
    answer_to,
    deferred_by_pause,
    hold_back,
    kind_of,
    outcome_of,
    refusal,
    refused_by_nearly_all,
    skipped,
)
from tasks.mail.sending.answers import About, Stage

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
PATIENCE = RetryPolicy(3, 10 * SECOND, 24 * HOUR)


def attempt(answer: MailResult, recipient: int = 16, **other: Any) -> MailAttempt:
    return MailAttempt(recipient, answer, NOW, 599, "so it is", **other)


@pytest.mark.parametrize(
    ("code", "what", "answer"),
    [
        (550, About.MAILBOX, MailResult.REFUSED),
        (550, About.RATE, MailResult.THROTTLED),
        (550, About.CONNECTIONS, MailResult.THROTTLED),
        (550, About.GREYLISTED, MailResult.DEFERRED),
        (500, About.RATE, MailResult.THROTTLED),
        (499, About.MAILBOX, MailResult.DEFERRED),
        (421, About.MAILBOX, MailResult.THROTTLED),
        (455, About.GREYLISTED, MailResult.THROTTLED),
        (455, About.SIGN_IN, MailResult.THROTTLED),
        (455, About.MAILBOX, MailResult.DEFERRED),
    ],
)
def test_r21_what_a_reply_means(code: int, what: About, answer: MailResult) -> None:
    assert answer_to(code, what) is answer


@pytest.mark.parametrize(
    ("stage", "code", "answer", "on_recipient"),
    [
        (Stage.RCPT, 550, MailResult.REFUSED, True),
        (Stage.MAIL, 499, MailResult.THROTTLED, False),
        (Stage.MAIL, 500, MailResult.REFUSED, False),
        (Stage.RCPT, 455, MailResult.DEFERRED, True),
        (Stage.END, 455, MailResult.DEFERRED, False),
    ],
)
def test_r21_before_a_recipient_is_named_it_is_the_servers_trouble(
    stage: Stage, code: int, answer: MailResult, on_recipient: bool
) -> None:
    found = refusal(7, code, "something else", stage)

    assert (found.recipient, found.code, found.reply, found.stage) == (7, code, "something else", stage)
    assert (found.answer, found.on_recipient) == (answer, on_recipient)
    assert found.about is not None


ACCEPTED, FAILED, PENDING, UNCERTAIN = Delivery.ACCEPTED, Delivery.FAILED, Delivery.PENDING, Delivery.UNCERTAIN


@pytest.mark.parametrize(
    ("answer", "before", "policy", "left"),
    [
        (MailResult.ACCEPTED, FIRST, "hold", (ACCEPTED, True, None)),
        (MailResult.REFUSED, FIRST, "hold", (FAILED, True, None)),
        (MailResult.IMPOSSIBLE, FIRST, "hold", (FAILED, True, None)),
        (MailResult.TOO_LARGE, FIRST, "hold", (FAILED, True, None)),
        (MailResult.DEFERRED, FIRST, "hold", (PENDING, True, 10)),
        (MailResult.DEFERRED, Before(1), "hold", (PENDING, True, 20)),
        (MailResult.DEFERRED, Before(2), "hold", (FAILED, True, None)),
        (MailResult.AMBIGUOUS, FIRST, "hold", (UNCERTAIN, True, None)),
        (MailResult.AMBIGUOUS, FIRST, "resend", (PENDING, True, 10)),
        (MailResult.WORKER_LOST, Before(1), "resend", (PENDING, True, 20)),
        (MailResult.WORKER_LOST, Before(2), "resend", (UNCERTAIN, True, None)),
        (MailResult.WORKER_LOST, FIRST, "hold", (UNCERTAIN, True, None)),
        (MailResult.UNREACHABLE, FIRST, "hold", (PENDING, False, 10)),
        (MailResult.UNREACHABLE, Before(9, 2, NOW - HOUR), "hold", (PENDING, False, 40)),
        (MailResult.REFUSED_US, Before(put_off=5), "hold", (PENDING, False, LONGEST_OUT.total_seconds())),
        (MailResult.REFUSED_US, Before(since=NOW - 24 * HOUR), "hold", (PENDING, False, 10)),
        (MailResult.REFUSED_US, Before(since=NOW - 24 * HOUR - SECOND), "hold", (FAILED, False, None)),
        (MailResult.THROTTLED, FIRST, "hold", (PENDING, False, 10)),
        (MailResult.THROTTLED, Before(since=NOW - 100 * SECOND), "hold", (PENDING, False, 50)),
        (MailResult.THROTTLED, Before(since=NOW - 12 * HOUR), "hold", (PENDING, False, 3600)),
        (MailResult.THROTTLED, Before(since=NOW - 25 * HOUR), "hold", (FAILED, False, None)),
    ],
)
def test_r18_r19_r21_what_an_attempt_leaves_in_the_ledger(
    answer: MailResult, before: Before, policy: str, left: tuple[Delivery, bool, float | None]
) -> None:
    found = outcome_of(attempt(answer), before, PATIENCE, policy=policy)

    pause = None if found.due_at is None else (found.due_at - NOW).total_seconds()
    assert (found.state, found.tried, pause) == left
    assert (found.recipient, found.at, found.code, found.reply) == (16, NOW, 599, "so it is")
    assert found.reason == (None if answer is MailResult.ACCEPTED else answer.value)
    assert not found.suppress


def test_r21_not_everybody_who_was_throttled_comes_back_at_once() -> None:
    before = Before(since=NOW - 128 * SECOND)

    found = [
        outcome_of(attempt(MailResult.THROTTLED, n), before, PATIENCE, policy="hold").due_at for n in (0, 1, 15, 16)
    ]

    assert found == [NOW + seconds * SECOND for seconds in (64, 65, 79, 64)]


def test_r21_an_address_that_is_not_there_is_suppressed() -> None:
    assert outcome_of(attempt(MailResult.REFUSED, about=About.MAILBOX), FIRST, PATIENCE, policy="hold").suppress
    assert not outcome_of(attempt(MailResult.REFUSED, about=About.POLICY), FIRST, PATIENCE, policy="hold").suppress


@pytest.mark.parametrize(
    ("domains", "before", "taken", "us"),
    [
        ([("a", MailResult.REFUSED)], {}, {}, True),
        ([("a", MailResult.REFUSED), ("a", MailResult.ACCEPTED)], {}, {}, False),  # the server took others after it
        ([("a", MailResult.ACCEPTED), ("a", MailResult.REFUSED)], {}, {}, True),
        ([("a", MailResult.REFUSED), ("b", MailResult.ACCEPTED)], {}, {}, True),
        ([("a", MailResult.REFUSED)], {}, {"a": NOW + SECOND}, False),
        ([("a", MailResult.REFUSED)], {}, {"a": NOW}, True),
        ([("a", MailResult.REFUSED)], {16: Before(since=NOW - HOUR)}, {"a": NOW - HOUR}, True),
        ([("a", MailResult.REFUSED)], {16: Before(since=NOW - HOUR)}, {"a": NOW - HOUR + SECOND}, False),
        ([("a", MailResult.REFUSED)], {16: Before(since=NOW - LONGEST_ALONE)}, {ANYWHERE: NOW}, True),
        ([("a", MailResult.REFUSED)], {16: Before(since=NOW - LONGEST_ALONE - SECOND)}, {ANYWHERE: NOW}, False),
        ([("a", MailResult.REFUSED)], {16: Before(since=NOW - 2 * HOUR)}, {ANYWHERE: NOW - 2 * HOUR}, True),
        ([("a", MailResult.REFUSED)], {17: Before(since=NOW - 2 * HOUR)}, {ANYWHERE: NOW}, True),
    ],
)
def test_r21_what_would_meet_everybody_uses_up_no_attempt(
    domains: list[tuple[str, MailResult]], before: dict[int, Before], taken: dict[str, datetime], us: bool
) -> None:
    attempts = [(domain, attempt(answer, about=About.SIGN_IN)) for domain, answer in domains]

    hold_back(attempts, before, taken)

    [found] = [
        one.answer for (_, answer), (_, one) in zip(domains, attempts, strict=True) if answer is MailResult.REFUSED
    ]
    assert found is (MailResult.REFUSED_US if us else MailResult.REFUSED)


@pytest.mark.parametrize(
    ("answer", "other", "us"),
    [
        (MailResult.REFUSED, {"about": About.MAILBOX}, False),
        (MailResult.REFUSED, {"about": About.POLICY, "stage": Stage.END}, False),  # what this one says
        (MailResult.REFUSED, {"about": About.POLICY, "stage": Stage.RCPT}, True),  # before it could say anything
        (MailResult.REFUSED, {"about": About.SIGN_IN, "stage": Stage.END}, True),
        (MailResult.THROTTLED, {"about": About.SIGN_IN, "code": 421}, True),
        (MailResult.THROTTLED, {"about": About.RATE, "code": 500}, True),
        (MailResult.THROTTLED, {"about": About.RATE, "code": 499}, False),
        (MailResult.THROTTLED, {"about": About.RATE, "code": None}, False),
        (MailResult.THROTTLED, {"about": About.CONNECTIONS, "code": 550}, False),
        (MailResult.DEFERRED, {"about": About.SIGN_IN}, False),
    ],
)
def test_r21_what_is_about_us_and_what_about_one_mail(answer: MailResult, other: dict[str, Any], us: bool) -> None:
    one = replace(attempt(answer), **other)

    hold_back([("a", one)], {}, {})

    assert one.answer is (MailResult.REFUSED_US if us else answer)


def test_r21_nearly_everybody_is_nine_in_ten_of_a_sample() -> None:
    assert not refused_by_nearly_all([True] * (SAMPLE - 1))
    assert refused_by_nearly_all([True] * SAMPLE)
    assert refused_by_nearly_all([True] * 18 + [False] * 2)
    assert not refused_by_nearly_all([True] * 17 + [False] * 3)


def test_r21_a_refusal_that_paused_its_mailing_is_tried_again() -> None:
    failed = Outcome(1, FAILED, NOW, "refused", 550, "no")

    assert deferred_by_pause(failed) == replace(failed, state=PENDING, tried=False, due_at=NOW)
    for stays in (replace(failed, suppress=True), replace(failed, state=ACCEPTED), replace(failed, state=UNCERTAIN)):
        assert deferred_by_pause(stays) == stays


@pytest.mark.parametrize("verdict", [Verdict.CANCELLED, Verdict.INACTIVE, Verdict.NO_ADDRESS])
def test_r15_r20_what_the_gate_refuses_was_not_tried(verdict: Verdict) -> None:
    found = skipped(5, verdict)

    assert found.state is (Delivery.CANCELLED if verdict is Verdict.CANCELLED else Delivery.SKIPPED)
    assert (found.recipient, found.reason, found.tried, found.at.tzinfo) == (5, verdict.value, False, UTC)


@pytest.mark.parametrize(
    ("recipient", "kind"),
    [(1, RecipientKind.LEARNER), (NOBODY, RecipientKind.NOBODY), (-1, RecipientKind.ADMIN)],
)
def test_a_recipients_number_says_whom_it_stands_for(recipient: int, kind: RecipientKind) -> None:
    assert kind_of(recipient) is kind
