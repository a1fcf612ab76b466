"""/metrics, as Prometheus scrapes it: what is counted by every process, and series that neither come nor go."""

import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from config.counting import COUNTED, OTHER, counts, provider_of
from config.database import transaction
from tasks import fleet, work
from tests.webhooks.conftest import receiver
from tests.workers.serving import served
from tests.world import World, work_on
from workers.presence import Presence, store_counts

__all__ = ["receiver"]  # a fixture

Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scrape(url: str) -> Series:
    """What is served there, by name and labels."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=20) as page:  # noqa: S310 - our own
        text = page.read().decode()
    return {_key(sample): sample.value for family in text_string_to_metric_families(text) for sample in family.samples}


def _key(sample: Sample) -> tuple[str, tuple[tuple[str, str], ...]]:
    return sample.name, tuple(sorted(sample.labels.items()))


@pytest.fixture
def url(world: World) -> Iterator[str]:
    with served(world.runtime) as runtime:
        yield runtime.endpoints.public_url


def grown(before: Series, after: Series) -> dict[str, float]:
    """How much each series grew, written as Prometheus does."""
    return {
        name + "".join(f" {label}={value}" for label, value in labels): after[name, labels] - n
        for (name, labels), n in before.items()
        if after[name, labels] != n
    }


def test_what_happens_is_counted_and_no_series_comes_or_goes(world: World, url: str) -> None:
    before = scrape(url)
    world.mail.on_recipient = lambda to, _: "550 5.1.1 no such user" if to.startswith("b@") else None
    world.has_learners("A", "B")
    world.has_learners("C", status="inactive")
    world.has_course("safety", "everyone")
    world.starts("A", "safety")
    world.say("course.started", learner="nobody", course="safety")
    world.send(world.sent[-1], b"{no json")
    world.announces("news")
    world.settle()

    after = scrape(url)
    rose = grown(before, after)

    assert before.keys() == after.keys(), "each series is there from the beginning, and stays"
    assert rose["rollcall_events_taken_total outcome=applied"] == 6
    assert rose["rollcall_events_taken_total outcome=deferred"] == 1
    assert rose["rollcall_events_taken_total outcome=repeated"] == 1
    assert rose["rollcall_events_taken_total outcome=malformed"] == 1
    assert rose["rollcall_starts_charged_total unit=credit"] == 1
    announced = {name: n for name, n in rose.items() if "rollcall_mails_total kind=announcement" in name}
    assert {name.rpartition("=")[2]: n for name, n in announced.items()} == {"accepted": 1, "failed": 1}
    assert rose["rollcall_smtp_replies_total class=5xx domain=other"] == 1, "of the notice: the address is suppressed"
    assert rose["rollcall_work_claims_total queue=mail"] >= 1
    assert rose["rollcall_work_claims_total queue=bulk"] == rose["rollcall_work_begun_seconds_count queue=bulk"] >= 1
    assert rose["rollcall_work_seconds_count queue=bulk"] >= 1
    assert rose["rollcall_work_seconds_sum queue=bulk"] > 0
    assert rose["rollcall_events_published_total"] == len(world.out())
    assert not [name for name in rose if "acme" in name or "@" in name]


def test_a_piece_that_fails_and_one_whose_lease_is_lost_are_counted(world: World, url: str) -> None:
    before = scrape(url)
    with transaction(world.runtime.engine, 1) as connection:
        work.add(connection, 1, "tasks", "enrolments.chunk", 999)
        work.add(connection, 1, "bulk", "mail.deliver", 999)
    pieces = world.rows("SELECT work, actor FROM work ORDER BY work")
    world.execute("UPDATE work SET lost = 1 WHERE queue = 'bulk'")
    for number, actor in pieces:
        work_on(world.runtime, actor, 1, number)
    rose = grown(before, scrape(url))

    assert rose["rollcall_work_leases_lost_total queue=bulk"] == 1
    assert rose["rollcall_work_claims_total queue=tasks"] == 1


def test_what_processes_counted_is_kept_if_it_cannot_be_stored_and_added_up(world: World) -> None:
    engine = world.runtime.engine
    counts.take()
    counts.count("rollcall_bounces_total", 2, kind="hard")
    world.execute("ALTER TABLE counted RENAME TO gone")
    with pytest.raises(Exception, match="counted"):
        store_counts(engine)
    world.execute("ALTER TABLE gone RENAME TO counted")
    counts.count("rollcall_bounces_total", 3, kind="hard")
    counts.count("rollcall_bounces_total", kind="a kind that nobody knows")
    Presence(world.runtime, fleet.ProcessRole.POOL).store()
    store_counts(engine)

    with transaction(engine) as connection:
        assert fleet.counted(connection) == {
            'rollcall_bounces_total{kind="hard"}': 5,
            f'rollcall_bounces_total{{kind="{OTHER}"}}': 1,
        }


def test_nothing_is_counted_that_is_not_declared() -> None:
    with pytest.raises(KeyError):
        counts.count("rollcall_anything_total")
    with pytest.raises(KeyError):
        counts.count("rollcall_mails_total", learner="A")
    assert counts.take() == {}


def test_metrics_are_named_as_prometheus_advises() -> None:
    histograms = {name for name, metric in COUNTED.items() if metric.buckets}

    assert all(name.startswith("rollcall_") for name in COUNTED)
    assert all(name.endswith("_seconds") for name in histograms)
    assert all(name.endswith("_total") for name in COUNTED.keys() - histograms)
    assert max(sum(1 for _ in metric.series()) for metric in COUNTED.values()) <= 30, "few series each"
    assert provider_of("GMAIL.com") == "google"


def test_the_parts_of_a_histogram_add_up(world: World, url: str) -> None:
    counts.observe_each("rollcall_work_begun_seconds", [0.02, 0.3, 1e9, -1.0], queue="mail")
    found = scrape(url)
    of_mail = {labels: n for (name, labels), n in found.items() if name == "rollcall_work_begun_seconds_bucket"}
    buckets = {dict(labels)["le"]: n for labels, n in of_mail.items() if dict(labels)["queue"] == "mail"}

    assert (buckets["0.01"], buckets["0.05"], buckets["0.5"], buckets["7200.0"], buckets["+Inf"]) == (1, 2, 3, 3, 4)
    assert found["rollcall_work_begun_seconds_count", (("queue", "mail"),)] == 4
