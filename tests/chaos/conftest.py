"""Servers that survive a crash, how much of it there is, and what came of it, told at the end."""

import os
from collections.abc import Iterable, Iterator

import pytest

from bench.mail.sink import Taken
from bench.system import System, system
from tests.chaos.slaughter import Aftermath

#: Mails of a round, and rounds of each policy; fewer show that it runs.
MAILS = int(os.environ.get("CHAOS_MAILS", "50000"))
ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "10"))

#: Who may have got a notice twice: nobody knew whether the first went, and a notice goes again then (R19, S10).
DOUBTED = """
    SELECT lower(l.email) FROM attempts a JOIN mailings m USING (organisation, mailing)
    JOIN learners l ON l.organisation = a.organisation AND l.learner = a.recipient
    WHERE a.reason IN ('worker lost', 'ambiguous') AND m.policy = 'resend'
"""

_told: list[tuple[str, Aftermath]] = []
_said: list[str] = []


@pytest.fixture(scope="session")
def on() -> Iterator[System]:
    """Durable embedded servers, for the whole run."""
    with system() as servers:
        yield servers


def tell(what: str, left: Aftermath) -> None:
    """Keep what came of a round for the summary."""
    _told.append((what, left))


def only_the_doubted_twice(taken: Iterable[Taken], doubted: Iterable[str]) -> None:
    """Nobody got an announcement twice, and a notice only if nobody knew of the first: with its Message-ID (R19)."""
    ids: dict[tuple[str, str], list[str]] = {}
    for mail in taken:
        ids.setdefault((mail.kind if mail.kind != "announcement" else mail.mailing, mail.recipient), []).append(
            mail.message_id
        )
    twice = {about for about, found in ids.items() if len(found) > 1}
    assert twice <= {("enrolment", recipient) for recipient in doubted}
    assert {len(set(found)) for found in ids.values()} == {1}, "a second copy is known by its Message-ID"


def say(line: str) -> None:
    """Keep a line for the summary."""
    _said.append(line)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what came of each kind of round."""
    for what in dict.fromkeys(what for what, _ in _told):
        rounds = [left for told, left in _told if told == what]
        mails, kills = sum(len(left.selected) for left in rounds), sum(left.kills for left in rounds)
        doubted = sum(len(left.doubted) + len(left.uncertain) for left in rounds)
        twice = sum(len(left.twice) for left in rounds)
        lost = sum(len(left.lost) for left in rounds)
        terminalreporter.write_line(
            f"{what}: {len(rounds)} rounds, {mails:,} mails, {kills} workers killed; {lost} lost, {doubted} uncertain "
            f"({doubted / max(kills, 1):.0f} for each kill), {twice} sent twice"
        )
    for line in _said:
        terminalreporter.write_line(line)
