"""The counts of an announcement that is closed are kept, and are those of its deliveries all the same: R18."""

import pytest

from tasks.acts import announcements
from tasks.acts.announcements import AnnouncementsPage, Listed
from tasks.mail import Kind, record_log
from tasks.mail.ledger import message_ids_of
from tests.acts.asking import ask
from tests.announcements.counting import adds_up
from tests.world import World


@pytest.fixture
def closed(world: World) -> World:
    """An announcement that is finished, of whose three recipients one is inactive and of one nobody knows."""
    world.has_learners("fine", "unsure", "off")
    world.becomes("inactive", "off")
    world.mail.hangs_up = lambda address: address.startswith("unsure@")
    world.announces()
    world.comes_to_rest()
    counts = adds_up(world)
    assert (counts.accepted, counts.uncertain, counts.skipped) == (1, 1, {"inactive": 1})
    return world


def listed(world: World) -> Listed:
    """The newest announcement of the list."""
    return ask(world, announcements.list_, AnnouncementsPage()).items[0]


def test_a_list_of_what_is_closed_reads_no_delivery(closed: World) -> None:
    before = listed(closed)
    closed.execute("DELETE FROM deliveries")

    assert listed(closed) == before
    assert (before.selected, before.accepted, before.uncertain, before.skipped) == (3, 1, 1, {"inactive": 1})
    closed.execute("UPDATE mailings SET counted_at = NULL")
    assert listed(closed).selected == 0, "without them they are counted"


def test_what_was_closed_before_counts_were_kept_is_counted_by_the_relay(closed: World) -> None:
    closed.execute("UPDATE mailings SET counted_at = NULL")
    adds_up(closed)
    closed.settle()

    assert closed.ask("SELECT count(*) FROM mailings WHERE counted_at = finished_at AND kind = 'announcement'") == 1
    adds_up(closed)


def test_r19_what_a_log_says_of_what_is_closed_is_counted(closed: World) -> None:
    domain = closed.runtime.endpoints.mail_from.rpartition("@")[2].strip("> ")
    sent = message_ids_of("acme", Kind.ANNOUNCEMENT, "", "news", domain).of("unsure")
    lines = [
        f"Nov 26 05:00:01 mx postfix/cleanup[814]: 9A1B2C3D4E: message-id={sent}\n",
        "Nov 26 05:00:02 mx postfix/smtp[815]: 9A1B2C3D4E: to=<u@acme.example>, dsn=2.0.0, status=sent (250 ok)\n",
    ]
    assert record_log(closed.runtime, lines).accepted == 1

    counts = adds_up(closed)
    assert (counts.accepted, counts.uncertain, listed(closed).accepted) == (2, 0, 2)
    closed.settle()
    assert adds_up(closed) == counts
