"""An organisation in another cell, from outside: people and programs ask at home and find it, as if it lived there."""

from urllib.parse import urlsplit

import pytest

from tasks.accounts import Role
from tests.api.conftest import Served
from tests.bounces import reports
from tests.bounces.conftest import listening
from tests.cells.conftest import TwoCells
from tests.console.conftest import Consoled
from tests.workers.posting import Platform, batch
from tests.workers.serving import served
from tests.workers.test_unsubscribe import ONE_CLICK, link_to, post, unsubscribed
from tests.world import World
from workers import moving

A = "a@acme.example"


@pytest.fixture
def away(two_cells: TwoCells) -> World:
    """The cell in which `acme` lives now, with two learners and a course."""
    home, north = two_cells.home, two_cells.north
    home.has_learners("A", "B")
    home.has_course("safety", method="everyone")
    home.settle()
    moving.move(home.runtime, "acme", "north")
    north.clock = home.clock
    return north


def test_r32_posted_events_are_taken_where_their_organisations_live(two_cells: TwoCells, away: World) -> None:
    home = two_cells.home
    saved = home.event("organisation.saved", {"name": "Other", "licence": "seats"}, organisation="other")
    ours = home.event("learner.saved", home.learner("C"))
    started = home.event("course.started", {"learner": "A", "course": "safety"})

    with served(home.runtime) as runtime:
        platform = Platform(runtime.endpoints.public_url)
        answers = [platform.post(batch(saved, ours, started), "application/cloudevents-batch+json") for _ in range(2)]
        platform.close()
    away.settle()

    assert [answer.status for answer in answers] == [202, 202]
    assert [answer.said["repeated"] for answer in answers] == [0, 3]
    assert away.list("SELECT id FROM learners ORDER BY id") == ["A", "B", "C"]
    assert [entry.learner for entry in away.ledger()] == ["A"]
    assert two_cells.where("other") == ["home"]
    assert home.list("SELECT id FROM learners ORDER BY id") == ["A", "B"], "what it left, until that is forgotten"


def test_r01_the_api_at_home_answers_for_an_organisation_elsewhere(two_cells: TwoCells, away: World) -> None:
    home = two_cells.home
    with served(home.runtime) as runtime:
        home.runtime = runtime
        admin = Served(home, runtime.endpoints.public_url, {}).client(Role.ADMIN)
        may = [admin.get("access", learner="A", course="safety").json["access"]]
        off = admin.post("learners/A/deactivate")
        may.append(admin.get("access", learner="A", course="safety").json["access"])
        listed = admin.get("learners", tab="inactive").json["items"]
        of_nobody = admin.get("learners/nobody")

    assert off.status == 200
    assert may == [True, False]
    assert [one["learner"] for one in listed] == ["A"]
    assert of_nobody.status == 404
    assert away.access("A") == set()


def test_r03_the_console_at_home_moves_the_switch_of_somebody_elsewhere(two_cells: TwoCells, away: World) -> None:
    home = two_cells.home
    card = "/console/organisations/acme/learners/A"
    with served(home.runtime) as runtime:
        admin = Consoled(home, runtime).visitor()
        listed = admin.open("organisations/acme/users").text.count(card)
        admin.open(card).send(card, leave=frozenset({"active"}))

        assert (admin.status, "1 user is inactive now." in admin.says) == (200, True)
    assert listed >= 1
    assert away.access("A") == set()
    assert [*away.enrolments("A")] == ["safety"]


def test_r16_a_link_of_a_mail_that_went_out_elsewhere_is_followed_at_home(two_cells: TwoCells, away: World) -> None:
    away.announces()
    away.settle()
    link = link_to(away.mail, A)

    with served(two_cells.home.runtime) as runtime:
        answer = post(f"{runtime.endpoints.public_url}{urlsplit(link).path}", ONE_CLICK)

    assert answer.status == 200
    assert unsubscribed(away) == ["A"]
    assert unsubscribed(two_cells.home) == []


def test_r21_a_report_that_comes_back_to_home_suppresses_where_the_mail_came_from(
    two_cells: TwoCells, away: World
) -> None:
    away.announces()
    away.settle()
    sender = away.mail.senders[A][-1]

    with listening(two_cells.home.runtime) as (desk, _):
        assert desk.gives(reports.postfix(sender, A), sender) == 250

    assert away.list("SELECT address FROM suppressions") == [A]
    assert two_cells.home.list("SELECT address FROM suppressions") == []
