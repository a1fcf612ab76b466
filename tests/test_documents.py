"""What is written about Rollcall is true of it: schemas, settings, states and reasons."""

import re
from enum import StrEnum
from pathlib import Path

import pytest

from config.settings import table
from config.webhooks import MOST_KEYS
from tasks.bounces import Ignored, Kind, Suppressed
from tasks.enrolments.rules import NotEligible
from tasks.events import Reason
from tasks.events.schemas import WHAT_TO_DO
from tasks.imports.rules import Refusal
from tasks.imports.statuses import PreviousStatus
from tasks.learners import Standing
from tasks.mail import control, witness
from tasks.mail.restored import Settled
from tasks.mail.rules import MOVES, Answer, Delivery, Verdict
from tasks.seats import Discrepancy
from tasks.seats.rules import Review, Unit
from tasks.webhooks import Because, Problem, State, wire
from tasks.webhooks.actors import MOST_OF_ONE
from workers import bodies, connections, relay, web, webhooks
from workers.schemas import CONTRACT, FOLDER, all_schemas, contract

ROOT = Path(__file__).parents[1]


def test_the_schemas_in_the_repo_are_those_of_the_types() -> None:
    written = {str(path.relative_to(FOLDER)): path.read_text(encoding="utf-8") for path in FOLDER.rglob("*.json")}

    assert written == all_schemas(), "run make schemas"
    assert CONTRACT.read_text(encoding="utf-8") == contract(), "run make schemas"


def test_the_readme_lists_every_setting_with_its_default() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()

    assert [row for row in table() if row not in readme] == []


def test_the_readme_says_which_bounds_the_pages_and_the_webhooks_have() -> None:
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    bounds = [
        f"`web` waits {connections.HEAD_SECONDS:g} seconds for the head of a request",
        f"{connections.REST_SECONDS:g} for the rest of a body that was answered before its end",
        f"{connections.WRITE_SECONDS:g} for a client that does not read",
        f"and {connections.IDLE_SECONDS:g} for the next request",
        f"a head of {connections.LONGEST_HEADERS // 1000} kB and {connections.MOST_HEADERS} headers",
        f"{connections.MOST_CONNECTIONS:,} connections (fewer where the limit of open files is below",
        f"{connections.MOST_CONNECTIONS + connections.OTHER_FILES:,}: all but {connections.OTHER_FILES} of it)",
        f"in chunks of {connections.OCTETS_A_PIECE} bytes or more on the average",
        f"{bodies.MOST} at most, are waited for at once, half of them for one address, and {web.MOST_BODIES} of the",
        f"Up to {MOST_KEYS} keys are accepted at once",
        f"{wire.MOST_LINES} lines of headers, in no more than {wire.MOST_PIECES} pieces and {wire.MOST_READS:,} reads",
        f"a process serves {MOST_OF_ONE} at once, and {webhooks.MOST} of all",
    ]

    assert (connections.SHARE, bodies.SHARE) == (4, 2)
    assert [bound for bound in bounds if bound not in readme] == []


@pytest.mark.parametrize(
    "kind",
    [
        Standing,
        Reason,
        Delivery,
        Verdict,
        Answer,
        NotEligible,
        Review,
        Unit,
        Discrepancy,
        PreviousStatus,
        Refusal,
        Kind,
        Ignored,
        Suppressed,
        State,
        Because,
        Problem,
        Settled,
    ],
)
def test_the_documents_list_every_state_and_reason(kind: type[StrEnum]) -> None:
    listed = (ROOT / "docs" / "states.md").read_text(encoding="utf-8")
    shown_nowhere = {Verdict.SEND, Verdict.PAUSED}

    assert [one for one in kind if one not in shown_nowhere and f"`{one}`" not in listed] == []


def test_the_page_on_restoring_says_for_how_long_what_is_remembered() -> None:
    page = " ".join((ROOT / "docs" / "restoring.md").read_text(encoding="utf-8").split())
    bounds = [
        f"for {witness.KEPT_SECONDS // 86400} days and for the last {witness.MOST_GROUPS:,} groups",
        f"For {control.KNOWN_DAYS} days after",
        f"every {relay.WITNESS_SECONDS:g} seconds",
    ]

    assert [bound for bound in bounds if bound not in page] == []


def test_the_documents_say_what_to_do_about_each_event_that_was_not_taken() -> None:
    listed = (ROOT / "docs" / "states.md").read_text(encoding="utf-8")

    assert WHAT_TO_DO.keys() == set(Reason)
    assert [
        one for one, what in WHAT_TO_DO.items() if not re.search(rf"(?m)^\| `{one}` \| .* \| {what} \|$", listed)
    ] == []


def test_the_documents_list_every_state_of_a_mailing() -> None:
    listed = (ROOT / "docs" / "states.md").read_text(encoding="utf-8")
    states = {state for moves in MOVES.values() for pair in moves.items() for state in pair}

    assert [state for state in sorted(states) if f"`{state}`" not in listed] == []


def test_the_documents_list_every_move_of_a_mailing() -> None:
    listed = (ROOT / "docs" / "states.md").read_text(encoding="utf-8").splitlines()
    rows = [
        f"| `{move}` | {', '.join(f'`{state}`' for state in pairs)} | `{state}` |"
        for move, pairs in MOVES.items()
        for state in set(pairs.values())
    ]

    assert [row for row in rows if row not in listed] == []
