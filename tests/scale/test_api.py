"""What is asked most costs the same in a large organisation as in a small one, by pages touched and rows looked at."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TypeVar

import pytest

from config.embedded import Embedded
from config.settings import Settings
from config.streams import make_redis
from tasks import accounts
from tasks.accounts import Caller, Door, Role
from tasks.acts import access, enrolments, learners
from tasks.acts.acting import Act, perform
from tasks.acts.paging import Page, page_ending_at
from tasks.learners import index_learners
from tests.acts.test_remote import token_of
from tests.conftest import runtime_over
from tests.databases import Databases, Lent, database_named
from tests.mailserver import MailServer
from tests.scale.explained import Cost, counted, explained
from tests.world import World

Asked = TypeVar("Asked")
Item = TypeVar("Item")

#: Learners of the large organisation; each is enrolled in `COURSES`.
LEARNERS, COURSES = 30_000, 5

#: Pages that a question for access touches at most, and rows that it looks at: five indexes, and what they lead to.
MOST_PAGES, MOST_ROWS = 40, 60

#: Pages that a search which the index knows touches at most: the first 512 learners, a sample of 256, and few of the
#: index for each block of 16,384.
MOST_SEARCHED = 4 * (512 + 256) + 2 * 60

CALLER = Caller("test", Door.API, Role.READER, frozenset({"acme"}))

MADE = (
    """
    INSERT INTO learners (organisation, learner, id, standing, version, saved_version, saved_at, email, username,
                          first_name, last_name)
    SELECT 1, n, 'A' || n, 'active', 1, 1, now(), 'a' || n || '@x.example', 'u' || n, 'Anna', 'Jansen'
    FROM generate_series(1, :n) n
    """,
    "UPDATE organisations SET learners = :n",
    """
    INSERT INTO courses (organisation, id, title, cost, on_hold, method, rules_since, saved_at)
    SELECT 1, 'c' || n, 'c', 1, false, 'manual', now(), now() FROM generate_series(1, 5) n WHERE :n > 0
    """,
    """
    INSERT INTO enrolments (organisation, course, cycle, learner, silent, fanout, enrolled_at, requests)
    SELECT 1, c.course, 1, n, false, 1, now(), ARRAY[1] FROM generate_series(1, :n) n, courses c
    """,
)


@pytest.fixture(scope="module")
def filled(
    servers: Embedded, _databases: Databases, _mail_server: MailServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A database with a large organisation that the planner knows."""
    settings, redis_url = Settings(rollcall_home=tmp_path_factory.mktemp("filled")), str(servers.redis_url)
    with _databases.fresh() as name:
        url = database_named(servers, name)
        with runtime_over(settings, url, redis_url, _mail_server) as runtime, make_redis(redis_url) as client:
            world = World(runtime, client, _mail_server)
            world.has_organisation()
            for statement in MADE:
                world.execute(statement, n=LEARNERS)
            world.execute("ANALYZE learners, courses, enrolments")
        yield name


@pytest.fixture
def database(servers: Embedded, _databases: Databases, filled: str) -> Iterator[Lent]:
    """A copy of it."""
    with _databases.copied(filled) as name:
        yield Lent(database_named(servers, name))


@pytest.fixture
def large(empty_world: World) -> World:
    """A large organisation that the planner knows."""
    return empty_world


def cost(world: World, about: str, what: Act[Asked, Page[Item]], asked: Asked) -> tuple[Cost, Page[Item]]:
    """What the statement with this text costs, and the answer."""
    with explained(world.runtime.engine) as found:
        answer = perform(world.runtime, CALLER, what, asked, "acme")
    (one,) = (cost for statement, cost in found.items() if about in statement)
    return one, answer


def test_r03_access_is_one_statement_that_looks_up_by_indexes(large: World) -> None:
    asked = access.AccessAsked("A17000", "c3")
    with counted(large.runtime.engine) as runs:
        answer = access.at_the_door(large.runtime.engine, "acme", asked)
    with explained(large.runtime.engine) as found:
        access.at_the_door(large.runtime.engine, "acme", asked)
    (one,) = found.values()

    assert answer.access
    assert sum(cost.runs for cost in runs.values()) == 1
    assert one.pages <= MOST_PAGES
    assert one.rows <= MOST_ROWS


def test_r03_access_of_a_thousand_pairs_is_one_statement_that_looks_up_by_indexes(large: World) -> None:
    pairs = access.PairsAsked([f"A{n}" for n in range(17_000, 17_200)], [f"c{n}" for n in range(1, 6)])
    assert access.pairs_by_token(large.runtime.engine, b"x", "acme", pairs) is None
    hashed = accounts.digest(token_of(large, Role.READER, "acme"))
    with counted(large.runtime.engine) as runs:
        found = access.pairs_by_token(large.runtime.engine, hashed, "acme", pairs)
    with explained(large.runtime.engine) as costs:
        access.pairs_by_token(large.runtime.engine, hashed, "acme", pairs)
    (one,) = costs.values()

    assert found is not None
    assert [pair.access for pair in found.answer("acme", pairs)] == [True] * access.MOST_PAIRS
    assert sum(cost.runs for cost in runs.values()) == 1
    assert one.pages <= MOST_PAGES // 4 * access.MOST_PAIRS
    assert one.rows <= MOST_ROWS // 2 * access.MOST_PAIRS


def test_a_page_deep_inside_costs_what_the_first_costs(large: World) -> None:
    first, page = cost(large, "FROM learners l", learners.list_, learners.LearnersAsked(limit=100))
    cursor = page_ending_at([], (LEARNERS - 200,), "learners", 1, "active", None, None).next
    deep, last = cost(large, "FROM learners l", learners.list_, learners.LearnersAsked(limit=100, after=cursor))

    assert (len(page.items), len(last.items)) == (100, 100)
    assert last.items[0].learner == f"A{LEARNERS - 199}"
    assert first.rows <= 4 * 100 + 20
    assert deep.rows <= 4 * 100 + 20
    assert deep.pages <= first.pages + 10


def test_the_newest_are_listed_at_the_same_cost_on_every_page(large: World) -> None:
    asked = learners.LearnersAsked(limit=100, order="-added")
    first, page = cost(large, "l.learner DESC", learners.list_, asked)
    cursor = page_ending_at([], (200,), "newest learners", 1, "active").next
    deep, last = cost(large, "l.learner DESC", learners.list_, replace(asked, after=cursor))

    assert (page.items[0].learner, last.items[0].learner) == (f"A{LEARNERS}", "A199")
    assert max(first.rows, deep.rows) <= 4 * 100 + 20
    assert deep.pages <= first.pages + 10


def test_who_is_enrolled_is_listed_at_the_same_cost_on_every_page(large: World) -> None:
    asked = enrolments.RosterAsked("c3", limit=100)
    first, page = cost(large, "l.standing IN", enrolments.roster, asked)
    cursor = page_ending_at([], (1, LEARNERS - 200), "roster", 1, "c3", "enrolled").next
    deep, last = cost(large, "l.standing IN", enrolments.roster, replace(asked, after=cursor))

    assert (len(page.items), last.items[0].learner) == (100, f"A{LEARNERS - 199}")
    assert max(first.rows, deep.rows) <= 8 * 100 + 20
    assert deep.pages <= first.pages + 20


def test_a_search_looks_at_so_many_learners_and_no_more(large: World) -> None:
    asked = learners.LearnersAsked(search="nobody at all")
    none, page = cost(large, "search_learners", learners.list_, asked)
    many, found = cost(large, "JOIN learners l", learners.list_, learners.LearnersAsked(search="jansen"))

    looked: Page[object] = page_ending_at([], (learners.SEARCHED,), "learners", 1, "active", "nobody at all", None)
    assert page == looked, "so many, and the next page goes on behind them"
    assert none.pages <= 4 * learners.SEARCHED
    assert len(found.items) == 100
    assert many.rows <= 4 * 100 + 20


def test_an_indexed_search_reads_what_it_finds_and_little_more(large: World) -> None:
    while index_learners(large.runtime.engine, LEARNERS):
        pass
    rare, one = cost(large, "search_learners", learners.list_, learners.LearnersAsked(search="a27182@x"))
    none, nobody = cost(large, "search_learners", learners.list_, learners.LearnersAsked(search="nobody at all"))
    many, found = cost(large, "search_learners", learners.list_, learners.LearnersAsked(search="anna jans"))
    cursor = page_ending_at([], (LEARNERS - 200,), "learners", 1, "active", "jansen", None).next
    deep, last = cost(large, "search_learners", learners.list_, learners.LearnersAsked(search="jansen", after=cursor))

    assert ([item.learner for item in one.items], one.next) == (["A27182"], None)
    assert (nobody.items, nobody.next) == ([], None)
    assert (len(found.items), len(last.items)) == (100, 100)
    assert last.items[0].learner == f"A{LEARNERS - 199}"
    assert max(rare.pages, none.pages, many.pages, deep.pages) <= MOST_SEARCHED


def test_a_large_neighbour_costs_a_search_nothing(large: World) -> None:
    large.send(large.event("organisation.saved", {"name": "B", "licence": "seats"}, organisation="borealis"))
    alone = {"learner": "b1", "first_name": "Anna", "version": 1, "status": "active"}
    large.send(large.event("learner.saved", alone, organisation="borealis"))
    while index_learners(large.runtime.engine, LEARNERS):
        pass
    caller = Caller("test", Door.API, Role.READER, frozenset({"borealis"}))
    search = learners.LearnersAsked(search="anna")
    perform(large.runtime, caller, learners.list_, search, "borealis")  # a new session reads 1,000 of the catalogue
    with explained(large.runtime.engine) as found:
        page = perform(large.runtime, caller, learners.list_, search, "borealis")
    (one,) = (cost for statement, cost in found.items() if "search_learners" in statement)

    assert [item.learner for item in page.items] == ["b1"]
    assert one.pages <= 400  # the neighbour's learners fill twice as many
