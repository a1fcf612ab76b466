"""A page of numbers looks at what was counted, not at what there is to count: by rows, however many enrolments."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tasks.accounts import Caller, Door, Role
from tasks.acts import Nothing, analytics, imports, seats
from tasks.acts.acting import perform
from tasks.acts.paging import PageAsked
from tasks.analytics import store
from tests.scale.explained import explained
from tests.world import World

#: Learners, and what a page looks at: some of what it counts at most to see that it is much, and what it shows.
THERE_ARE, FEW, MOST_ROWS = 4000, 100, 1000

THEN = datetime.now(UTC) - timedelta(days=10, hours=1)

CALLER = Caller("test", Door.API, Role.OPERATOR, frozenset({"acme"}))

MADE = (
    """
    INSERT INTO learners (organisation, learner, id, standing, version, saved_version, saved_at, email)
    SELECT 1, n, 'A' || n, CASE WHEN n % 2 = 0 THEN 'active' ELSE 'inactive' END::standing, 1, 1, now(), 'a@x.example'
    FROM generate_series(1, :n) n
    """,
    "UPDATE organisations SET learners = :n",
    """
    INSERT INTO courses (organisation, id, title, cost, on_hold, method, rules_since, saved_at)
    SELECT 1, 'c' || n, 'c', 1, false, 'manual', now(), now() FROM generate_series(1, 30) n
    """,
    """
    INSERT INTO segments (organisation, id, name, saved_at)
    SELECT 1, 's' || n, 's', now() FROM generate_series(1, 30) n
    """,
    """
    INSERT INTO memberships (organisation, segment, learner, member, since)
    SELECT 1, 1 + n % 30, n, true, now() FROM generate_series(1, :n) n
    """,
    """
    INSERT INTO enrolments (organisation, course, cycle, learner, silent, fanout, enrolled_at, started_at)
    SELECT 1, 1 + (n + c) % 30, 1, n, false, 1, now(), now() - make_interval(days => n % 80)
    FROM generate_series(1, :n) n, generate_series(1, 2) c
    """,
    """
    INSERT INTO consumptions (organisation, learner, course, cycle, unit, amount, period, overdrawn, occurred_at, event)
    SELECT 1, n, 1, 1, 'credit', 1, '2026-01-01', false, now() - make_interval(days => n % 80), 'e'
    FROM generate_series(1, :n) n
    """,
    "INSERT INTO uploads (organisation, asked) SELECT 1, '{}' FROM generate_series(1, :n) n",
)

PAGES: dict[str, tuple[Any, Any]] = {
    "over time": (analytics.of_days, analytics.AnalyticsOf()),
    "over time in a course": (analytics.of_days, analytics.AnalyticsOf("c7")),
    "by course": (analytics.by_course, PageAsked(20)),
    "by segment": (analytics.by_segment, PageAsked(20)),
    "archived": (analytics.archived, PageAsked(25)),
    "use": (analytics.use, Nothing()),
    "ledger of one": (seats.ledger, seats.LedgerPage("A7", limit=50)),
    "ledger of days": (seats.ledger, seats.LedgerPage(since=THEN, until=THEN + timedelta(days=2), limit=20)),
    "ledger since": (seats.ledger, seats.LedgerPage(since=THEN, limit=20)),
    "ledger until": (seats.ledger, seats.LedgerPage(until=THEN, limit=20)),
    "imports": (imports.list_, PageAsked(20)),
}


def test_r31_a_page_looks_at_what_was_counted_and_not_at_what_there_is(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "FEW", FEW)
    world.has_organisation()
    for statement in MADE:
        world.execute(statement, n=THERE_ARE)
    world.execute("ANALYZE")
    assert perform(world.runtime, CALLER, *PAGES["over time"], "acme").counting
    world.settle()
    world.execute("ANALYZE")
    dear = {}
    for name, (act, asked) in PAGES.items():
        with explained(world.runtime.engine) as found:
            answer = perform(world.runtime, CALLER, act, asked, "acme")
        assert getattr(answer, "items", None) or answer.days, name
        for statement, cost in found.items():
            if cost.rows > MOST_ROWS:
                dear[f"{name}: {' '.join(statement.split())[:120]}"] = cost.rows

    assert dear == {}
    assert sum(one.started for one in perform(world.runtime, CALLER, *PAGES["over time"], "acme").days) == THERE_ARE
    assert perform(world.runtime, CALLER, *PAGES["use"], "acme").used == THERE_ARE
