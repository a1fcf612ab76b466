"""Every page of the console costs what it shows, however much there is: by the rows that each statement looks at."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from sqlalchemy import Engine

from config import recent
from tasks.accounts import Role
from tasks.acts import announcements, learner_previews, segments
from tasks.analytics import store
from tasks.announcements import previews
from tasks.events import quarantine
from tasks.mail.ledger import recipients
from tests.console.conftest import Consoled
from tests.scale.explained import explained
from tests.scale.test_lists import MADE, THERE_ARE
from tests.workers.serving import served
from tests.world import World
from workers.web.console import app, writing
from workers.web.console.visits import PAGES

#: Rows that a statement looks at: some for each of the 50, at most, that a page shows.
MOST_ROWS = 900

#: What there is besides: half of the learners may not get mail, an announcement is a draft, and one is on its way.
BESIDES = (
    "UPDATE learners SET standing = 'inactive' WHERE learner % 2 = 0",
    """UPDATE mailings SET audience = '{"everyone": true}' WHERE kind = 'announcement'""",
    """
    INSERT INTO mailings (organisation, kind, id, state, policy, subject, body, audience, launched_at)
    SELECT 1, 'announcement', state, state, 'hold', 'News', 'Hello', '{"everyone": true}',
           CASE state WHEN 'sending' THEN now() END
    FROM unnest(ARRAY['draft', 'sending']) state
    """,
    """
    INSERT INTO deliveries (organisation, mailing, recipient, state)
    SELECT 1, (SELECT mailing FROM mailings WHERE id = 'sending'), n, 'pending' FROM generate_series(1, :n) n
    """,
    """
    INSERT INTO enrolments (organisation, course, cycle, learner, silent, fanout, enrolled_at)
    SELECT 1, 1, 1, n, false, 1, now() FROM generate_series(1, :n) n
    """,
    """
    INSERT INTO memberships (organisation, segment, learner, member, since)
    SELECT 1, 1, n, true, now() FROM generate_series(1, :n) n
    """,
)

#: What stands in the paths of pages here.
KNOWN = {"organisation": "acme", "learner": "A7", "course": "c1", "segment": "s1"}


@pytest.fixture
def console(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Consoled]:
    """The console of an organisation that has much of everything; no second passes."""
    monkeypatch.setattr(recipients, "FIRST_STRETCH", 100)
    monkeypatch.setattr(app, "AT_ONCE", 1000)
    monkeypatch.setattr(writing, "COUNTED", 100)
    monkeypatch.setattr(writing, "TICKED", 100)
    monkeypatch.setattr(store, "FEW", 100)
    for counting in (announcements, learner_previews, previews, quarantine, segments):
        monkeypatch.setattr(counting, "MANY", 100)
    monkeypatch.setattr(recent, "time", SimpleNamespace(monotonic=lambda: 0.0))
    for statement in MADE:
        world.execute(statement, n=THERE_ARE)
    world.settle()
    for statement in BESIDES:
        world.execute(statement, **({"n": THERE_ARE} if ":n" in statement else {}))
    # What the planner does with little is not what it does with much: tables of some pages are worth no index.
    database = world.ask("SELECT quote_ident(current_database())")
    for method in ("seqscan", "hashjoin", "mergejoin"):
        world.execute(f"ALTER DATABASE {database} SET enable_{method} = off")
    world.execute(f"ALTER DATABASE {database} SET random_page_cost = 0.1")
    world.execute("ANALYZE")
    with served(world.runtime) as runtime:
        yield Consoled(world, runtime)


def paths() -> list[str]:
    """Every page that is shown here; those of an announcement of one in each state."""
    assert app.DECLARING, "its modules declare the pages"
    found = []
    for page in PAGES:
        fields = {part[1:-1] for part in page.parts if part.startswith("{")}
        if page.method == "GET" and not page.exports and fields - {"announcement"} <= KNOWN.keys():
            ids = ("draft", "sending", "announcement1") if "announcement" in fields else ("",)
            found += ["/".join(page.parts).format(**KNOWN, announcement=id_) for id_ in ids]
    also = ("users?tab=all", "users?search=A77", "seats/ledger?review=yes")
    return [*found, *(f"organisations/acme/{page}" for page in also)]


def test_no_page_looks_at_more_than_it_shows(console: Consoled) -> None:
    operator = console.visitor(Role.OPERATOR)
    dear, statuses = {}, {}
    for path in paths():
        operator.open(path)  # the first who looks may count what many look at
        with explained(Engine) as found:
            statuses[path] = operator.open(path).status
        for statement, cost in found.items():
            if cost.rows / cost.runs > MOST_ROWS:
                dear[f"{path}: {' '.join(statement.split())[:120]}"] = cost.rows // cost.runs

    assert dear == {}
    assert {status for path, status in statuses.items() if not path.endswith(("edit", "launch"))} == {200}
    assert {statuses[f"organisations/acme/announcements/draft/{page}"] for page in ("edit", "launch")} == {200}
