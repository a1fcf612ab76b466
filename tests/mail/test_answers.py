"""What an answer is about, and what follows from it: R21."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.mail.rules import FIRST, THROTTLING, MailAttempt, MailResult, RetryPolicy, answer_to, outcome_of
from tasks.mail.sending.answers import ABOUT_US, About, Stage, about, table
from tests.mail.more_replies import MORE
from tests.mail.replies import REPLIES
from tests.world import World

ROOT = Path(__file__).parents[2]
_MOMENT = timedelta(seconds=1)
REFUSALS = json.loads((Path(__file__).parent / "refusals.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("stage", "code", "text", "expected"), REPLIES + MORE)
def test_r21_what_real_servers_say_is_judged_by_what_it_is_about(
    stage: Stage, code: int, text: str, expected: About
) -> None:
    assert about(code, text, stage=stage) is expected


def test_at_least_120_shapes_are_judged() -> None:
    assert len(set(REPLIES)) >= 120


@pytest.mark.parametrize("shape", REFUSALS.values(), ids=REFUSALS)
def test_r21_only_a_mailbox_that_is_not_there_is_suppressed(shape: dict[str, object]) -> None:
    said = shape["said"]
    assert isinstance(said, list)
    text = " ".join(line[4:] for line in said)
    code = int(said[0][:3])
    what = about(code, text, stage=Stage.RCPT)
    attempt = MailAttempt(1, answer_to(code, what), code=code, reply=text, about=what)

    assert outcome_of(attempt, FIRST, RetryPolicy(5, _MOMENT, _MOMENT), policy="hold").suppress is shape["suppress"]


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        *[(code, "", MailResult.THROTTLED) for code in sorted(THROTTLING)],
        (432, "4.3.2 Concurrent connections limit exceeded", MailResult.THROTTLED),
        (432, "4.3.2", MailResult.THROTTLED),
        (455, "4.3.2", MailResult.THROTTLED),
        (471, "4.7.1 not now", MailResult.THROTTLED),
        (455, "not with these parameters", MailResult.DEFERRED),
        (450, "greylisted", MailResult.THROTTLED),
        (550, "Recipient address rejected: Please try again later!", MailResult.DEFERRED),
        (550, "Too many messages, please slow down", MailResult.THROTTLED),
        (550, "5.4.5 Daily sending quota exceeded", MailResult.THROTTLED),
        (550, "5.1.1 No such user", MailResult.REFUSED),
        (530, "5.7.0 Must issue STARTTLS", MailResult.REFUSED),
    ],
)
def test_r21_throttling_is_no_failure_whatever_its_code(code: int, text: str, expected: MailResult) -> None:
    assert answer_to(code, about(code, text, stage=Stage.RCPT)) is expected


@pytest.mark.parametrize("stage", [Stage.CONNECT, Stage.MAIL])
def test_r21_before_a_recipient_is_named_nothing_is_about_one(stage: Stage) -> None:
    for _, code, text, _ in REPLIES:
        assert about(code, text, stage=stage) in ABOUT_US | {About.GREYLISTED, About.ROUTE}


@given(st.text(max_size=300), st.sampled_from([None, 450, 550, 554]), st.sampled_from(list(Stage)))
def test_any_text_is_judged(text: str, code: int | None, stage: Stage) -> None:
    assert about(code, text, stage=stage) in About


def test_the_document_shows_the_table_that_is_used() -> None:
    shown = (ROOT / "docs" / "answers.md").read_text(encoding="utf-8")

    assert "\n".join(table()) in shown
    assert [what for what in About if f"`{what.value}`" not in shown] == []


def test_r21_a_server_that_refuses_in_the_words_of_the_world_costs_nobody_their_mail(world: World) -> None:
    world.has_learners(*REFUSALS, "ok1")
    world.mail.on_recipient = lambda address, _times: _said(address.partition("@")[0])
    world.announces()
    world.settle()

    suppressed = world.list("SELECT address FROM suppressions ORDER BY address")
    assert suppressed == sorted(f"{id_}@acme.example" for id_, shape in REFUSALS.items() if shape["suppress"])
    assert world.mail.recipients == ["ok1@acme.example"]


def _said(local: str) -> str | None:
    if local not in REFUSALS:
        return None
    lines = REFUSALS[local]["said"]
    return "\r\n".join(f"{line[:3]}{'-' if line is not lines[-1] else ' '}{line[4:]}" for line in lines)
