"""What more than one place asks has one answer: a view or function of the database, or a fragment with a name."""

import re
from collections.abc import Iterable
from typing import NamedTuple

import pytest

from tests.architecture.statements import Statement, statements
from tests.sources import ROOT, text_of


class Question(NamedTuple):
    """A question, what answers it, and words that a statement has which asks it in a way of its own; `besides`: the
    modules that may, and why."""

    answer: str
    words: tuple[str, ...]
    besides: dict[str, str] = {}  # noqa: RUF012 - nobody changes it


QUESTIONS = {
    "has access": Question(
        "the view access, or the function gives_access",
        (r"withdrawn_at IS NULL", r"\bNOT (?:\w+\.)?on_hold\b"),
        {"tasks.enrolments.sql.activate": "opens what is on hold as well, and says then what of it is not (S7)"},
    ),
    "withdrawn by name": Question(
        "the function withdrawn_by_name",
        (r"(?:FROM|JOIN|USING) withdrawals\b",),
        {
            "tasks.enrolments.sql.withdrawals_of": "the past is told anew by all that was said, whatever the cycle",
            "tasks.erasure.sql.kept_of_learner": "what is kept is shown as it is, whatever it covers",
            "tasks.enrolments.overtaken": "whether anything was said of these, whatever the cycle",
            "tasks.verification.sql.orphans": "whether what each row names is there, and nothing else of it",
            "tasks.verification.sql.strays": "whether rows are of an organisation that is not there",
        },
    ),
    "linked by segment": Question(
        "the view linked",
        (r"\bcourse_segments\b", r"\bmemberships\b"),
        {
            "tasks.enrolments.enrolling": "fragments.LINKED_LISTED: of a learner who is looked up, not of all linked",
            "tasks.verification.sql.orphans": "whether what each row names is there, and nothing else of it",
            "tasks.verification.sql.strays": "whether rows are of an organisation that is not there",
        },
    ),
    "status at a time": Question(
        "the functions status_in_life and status_at",
        (r"\bstatus_changes\b", r"ORDER BY [^)]*\bversion DESC|\bmax\(\w*\.?version\)"),
    ),
    "in a licence period": Question(
        "the functions in_period and counts_in",
        (r"\bperiod\b", r"occurred_at < \W*(?:coalesce\W+)?(?:CAST\W+)?(?:\w+\.)?ends\b"),
    ),
}


def asked_otherwise(question: Question, found: Iterable[Statement]) -> set[str]:
    """The modules that ask a question in words of their own."""
    return {
        statement.module
        for statement in found
        if statement.text and all(re.search(word, statement.text) for word in question.words)
    }


def test_what_changed_of_enrolments_is_announced_by_one_fragment() -> None:
    sources = (file for room in ("config", "tasks", "workers", "migrations") for file in (ROOT / room).rglob("*.*"))
    naming = {
        str(file.relative_to(ROOT))
        for file in sources
        if file.suffix in {".py", ".sql"} and "rollcall.enrolment.changed" in text_of(file)
    }

    assert naming == {"tasks/events/outbox.py", "tasks/events/outgoing.py"}, "use events.ENROLMENTS_CHANGED"
    assert (ROOT / "tasks" / "events" / "outbox.py").read_text(encoding="utf-8").count("enrolment.changed") == 1


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_is_asked_in_one_way(question: str) -> None:
    asked = QUESTIONS[question]

    assert asked_otherwise(asked, statements()) == {*asked.besides}, f"ask {asked.answer}"


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("has access", "SELECT l.standing = 'active' AND e.withdrawn_at IS NULL AND NOT c.on_hold FROM enrolments e"),
        ("has access", "SELECT FROM enrolments WHERE withdrawn_at IS NULL AND NOT on_hold"),
        ("withdrawn by name", "SELECT FROM withdrawals w WHERE w.cycle IN (0, 1)"),
        ("linked by segment", "SELECT FROM course_segments cs JOIN memberships m USING (organisation, segment)"),
        ("status at a time", "SELECT active FROM status_changes WHERE learner = 1 ORDER BY version DESC LIMIT 1"),
        (
            "in a licence period",
            "SELECT FROM consumptions WHERE period = :p OR occurred_at < coalesce(:ends, 'infinity')",
        ),
        (
            "in a licence period",
            "SELECT FROM consumptions c, balances b WHERE c.period = b.period OR c.occurred_at < b.ends",
        ),
    ],
)
def test_what_asks_otherwise_is_found(question: str, text: str) -> None:
    assert asked_otherwise(QUESTIONS[question], [Statement("tasks.x", "x", 1, text)]) == {"tasks.x"}
