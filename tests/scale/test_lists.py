"""A page of any list costs what it shows, however much there is: by rows looked at and pages touched."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tasks.accounts import Caller, Door, Role
from tasks.acts import announcements, auditing, courses, events, learners, seats, segments, suppressions
from tasks.acts.acting import perform
from tasks.acts.paging import PageAsked
from tests.scale.explained import explained
from tests.world import World

#: Of everything that is listed; what a page of ten looks at must be of another order.
THERE_ARE, LIMIT, MOST_ROWS = 4000, 10, 400

CALLER = Caller("test", Door.API, Role.OPERATOR, frozenset({"acme"}))

MADE = (
    """
    INSERT INTO learners (organisation, learner, id, standing, version, saved_version, saved_at, email)
    SELECT 1, n, 'A' || n, 'active', 1, 1, now(), 'a' || n || '@x.example' FROM generate_series(1, :n) n
    """,
    "UPDATE organisations SET learners = :n",
    """
    INSERT INTO courses (organisation, id, title, cost, on_hold, method, rules_since, saved_at)
    SELECT 1, 'c' || n, 'c', 1, false, 'manual', now(), now() FROM generate_series(1, :n) n
    """,
    """
    INSERT INTO segments (organisation, id, name, saved_at)
    SELECT 1, 's' || n, 's', now() FROM generate_series(1, :n) n
    """,
    """
    INSERT INTO mailings (organisation, kind, source, id, state, policy, finished_at)
    SELECT 1, kind, 's', kind || n, 'finished', 'resend', now()
    FROM generate_series(1, :n) n, unnest(ARRAY['enrolment', 'announcement']) kind
    """,
    """
    INSERT INTO deliveries (organisation, mailing, recipient, state, settled_at, address)
    SELECT 1, (SELECT min(mailing) FROM mailings WHERE kind = 'announcement'), n, 'accepted', now(), 'x@x'
    FROM generate_series(1, :n) n
    """,
    """
    INSERT INTO consumptions (organisation, learner, course, cycle, unit, amount, period, overdrawn, occurred_at, event)
    SELECT 1, n, 1, 1, 'credit', 1, '2026-01-01', false, now(), 'e' FROM generate_series(1, :n) n
    """,
    "INSERT INTO suppressions (organisation, address, reason) SELECT 1, n || '@x', '' FROM generate_series(1, :n) n",
    """
    INSERT INTO audit (organisation, who, door, act, outcome)
    SELECT 1, CASE n WHEN :n - 5 THEN 'bob' ELSE 'ann' END, 'api', 'learners.status', 'done'
    FROM generate_series(1, :n) n
    """,
    """
    INSERT INTO inbox (seq, source, id, type, organisation, state, body, reason, resolved_by, resolved_at)
    SELECT nextval(pg_get_serial_sequence('arrivals', 'seq')),
           's', state || n, 't', 'acme', state, '{}', 'unknown learner', 'ann', now()
    FROM generate_series(1, :n) n, unnest(ARRAY['applied', 'quarantined', 'released']) state
    """,
)

#: Each list, and what is asked of it.
LISTS: dict[str, tuple[Any, Any]] = {
    "announcements": (announcements.list_, announcements.AnnouncementsPage(limit=LIMIT)),
    "announcements in a state": (
        announcements.list_,
        announcements.AnnouncementsPage(state="finished", limit=LIMIT),  # type: ignore[arg-type]
    ),
    "recipients": (announcements.recipients, announcements.RecipientsPage("announcement1", limit=LIMIT)),
    "audit": (auditing.list_, auditing.AuditAsked(limit=LIMIT)),
    "audit of everybody": (auditing.all_, auditing.AuditAsked(limit=LIMIT)),
    "audit since": (auditing.list_, auditing.AuditAsked(since=datetime(2020, 1, 1, tzinfo=UTC), limit=LIMIT)),
    "quarantined": (events.quarantined, events.UnresolvedFilter(limit=LIMIT)),
    "quarantined anywhere": (events.quarantined_anywhere, events.AnybodysUnresolvedFilter(limit=LIMIT)),
    "decided": (events.decided, PageAsked(limit=LIMIT)),
    "decided anywhere": (events.decided_anywhere, events.AnybodysDecidedFilter(limit=LIMIT)),
    "ledger": (seats.ledger, seats.LedgerPage(limit=LIMIT)),
    "suppressions": (suppressions.list_, suppressions.SuppressionsPage(limit=LIMIT)),
    "courses": (courses.list_, courses.CoursesAsked(limit=LIMIT)),
    "segments": (segments.list_, PageAsked(limit=LIMIT)),
}


@pytest.fixture
def large(world: World) -> World:
    """An organisation that has much of everything."""
    for statement in MADE:
        world.execute(statement, n=THERE_ARE)
    world.execute("ANALYZE")
    return world


def test_a_page_of_each_list_looks_at_what_it_shows_and_little_more(
    large: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    dear: dict[str, Any] = {}
    shown: dict[str, int] = {}
    for name, (act, asked) in LISTS.items():
        organisation = None if act.path.startswith("/") else "acme"
        after: str | None = None
        for _ in range(2):
            with explained(large.runtime.engine) as found:
                page = perform(large.runtime, CALLER, act, replace(asked, after=after), organisation)
            after = page.next
            shown[name] = len(page.items)
            for statement, cost in found.items():
                if cost.rows > MOST_ROWS:
                    dear[f"{name}: {' '.join(statement.split())[:120]}"] = cost.rows

    monkeypatch.setattr(auditing, "SCANNED", 100)
    with explained(large.runtime.engine) as found:
        nobody = perform(large.runtime, CALLER, auditing.list_, auditing.AuditAsked(who="nobody", limit=LIMIT), "acme")
    monkeypatch.setattr(auditing, "SCANNED", 1000)
    pages: list[Any] = []
    after = None
    while len(pages) < 10 and (not pages or after):
        asked = auditing.AuditAsked(who="bob", limit=1, after=after)
        pages.append(perform(large.runtime, CALLER, auditing.list_, asked, "acme"))
        after = pages[-1].next

    assert dear == {}
    assert (nobody.items, nobody.next is None) == ([], False)
    assert max(cost.rows for cost in found.values()) <= MOST_ROWS
    assert [one.who for page in pages for one in page.items] == ["bob"]
    assert after is None
    assert shown == dict.fromkeys(LISTS, LIMIT)


@pytest.mark.parametrize("many", ["active", "inactive", "deleted"])
def test_a_page_of_each_tab_of_learners_looks_at_what_it_shows_however_few_stand_so(large: World, many: str) -> None:
    few = {"active", "inactive"} - {many}
    large.execute("UPDATE learners SET standing = CAST(:many AS standing)", many=many)
    for n, standing in enumerate(sorted(few)):
        large.execute(
            "UPDATE learners SET standing = CAST(:standing AS standing) WHERE learner % 1000 = :n",
            standing=standing,
            n=n,
        )
    large.execute("ANALYZE")
    dear: dict[str, int] = {}
    shown: dict[str, tuple[int, bool]] = {}
    for tab in ("active", "inactive", "all"):
        asked = learners.LearnersAsked(tab=tab, limit=LIMIT)
        with explained(large.runtime.engine) as found:
            page = perform(large.runtime, CALLER, learners.list_, asked, "acme")
        shown[tab] = len(page.items), page.next is None
        dear |= {f"{tab}: {statement}": cost.rows for statement, cost in found.items() if cost.rows > MOST_ROWS}

    assert dear == {}
    tabs = {"active", "inactive", "all"} if many == "deleted" else few
    sizes = {"active": 4, "inactive": 4, "all": 8}
    assert shown == {tab: (sizes[tab], True) if tab in tabs else (LIMIT, False) for tab in shown}
