"""What every process counts: in memory, and now and then added to what is stored, from where one page shows all of it.

The table of metrics is closed: what is not in it cannot be counted, each label has few values that are known, and any
other is `other`. So no series comes or goes, and none is about a person.
"""

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import product

#: What a label says if its value is not one of those that are known.
OTHER = "other"

#: Seconds that end the groups of a histogram: from what nobody notices to what somebody is woken for.
SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0)

QUEUES = ("tasks", "mail", "bulk")


@dataclass(frozen=True, slots=True)
class CountedMetric:
    """A counter, or a histogram of seconds if it has `buckets`: its labels, each with the values that it may have."""

    help: str
    labels: dict[str, tuple[str, ...]] = field(default_factory=dict)
    buckets: tuple[float, ...] = ()

    def series(self) -> Iterator[dict[str, str]]:
        """Every combination of labels."""
        for values in product(*self.labels.values()):
            yield dict(zip(self.labels, values, strict=True))


#: Every counter and histogram, by its name as Prometheus shows it.
COUNTED = {
    "rollcall_events_taken_total": CountedMetric(
        "Events in, by what became of them", {"outcome": ("applied", "deferred", "repeated", "malformed", "refused")}
    ),
    "rollcall_events_posts_total": CountedMetric(
        "Answers to what was posted to /events",
        {"status": ("202", "400", "401", "403", "408", "413", "415", "429", "500", "503", OTHER)},
    ),
    "rollcall_event_effect_seconds": CountedMetric(
        "From when an event came until what it caused was committed", {"door": ("stream", "http")}, SECONDS
    ),
    "rollcall_events_published_total": CountedMetric("Events out that were written to the stream"),
    "rollcall_starts_charged_total": CountedMetric("Course starts that were charged", {"unit": ("seat", "credit")}),
    "rollcall_mails_total": CountedMetric(
        "What became of mails at the gate and after it; of one that is tried again, each time",
        {
            "kind": ("announcement", "enrolment", "digest", "password", "seats"),
            "outcome": ("accepted", "skipped", "failed", "cancelled", "uncertain", "deferred"),
        },
    ),
    "rollcall_smtp_replies_total": CountedMetric(
        "Replies of the mail server, by their class and whose domain the mail was for",
        {"class": ("2xx", "4xx", "5xx", "none"), "domain": ("google", "microsoft", "yahoo", "apple", OTHER)},
    ),
    "rollcall_work_claims_total": CountedMetric("Pieces of work that were begun", {"queue": QUEUES}),
    "rollcall_work_begun_seconds": CountedMetric(
        "From when a piece of work was due until somebody began it", {"queue": QUEUES}, SECONDS
    ),
    "rollcall_work_seconds": CountedMetric(
        "For how long a piece of work was worked on, whatever came of it", {"queue": QUEUES}, SECONDS
    ),
    "rollcall_work_retries_total": CountedMetric("Pieces that failed and are tried again", {"queue": QUEUES}),
    "rollcall_work_leases_lost_total": CountedMetric(
        "Leases that ran out before the work was done: its worker was lost, or too slow", {"queue": QUEUES}
    ),
    "rollcall_webhook_attempts_total": CountedMetric(
        "Attempts to send an event to a webhook", {"outcome": ("delivered", "failed")}
    ),
    "rollcall_bounces_total": CountedMetric(
        "Reports on mail that were taken, by kind", {"kind": ("blocked", "soft", "hard", "complaint", OTHER)}
    ),
}

#: Whose a domain is: the few that most mail goes to.
_PROVIDERS = {
    "google": ("gmail.com", "googlemail.com"),
    "microsoft": ("outlook.com", "hotmail.com", "live.com", "msn.com", "hotmail.co.uk", "hotmail.fr", "live.nl"),
    "yahoo": ("yahoo.com", "yahoo.co.uk", "yahoo.fr", "ymail.com", "aol.com"),
    "apple": ("icloud.com", "me.com", "mac.com"),
}
_PROVIDER = {domain: name for name, domains in _PROVIDERS.items() for domain in domains}


def provider_of(domain: str) -> str:
    """The group that a recipient's domain is in."""
    return _PROVIDER.get(domain.lower(), OTHER)


def reply_class(code: int | None) -> str:
    """The class of a reply, as a label."""
    return "none" if code is None else f"{code // 100}xx"


def series_of(name: str, labels: dict[str, str]) -> str:
    """How a series is stored: as Prometheus writes it."""
    said = ",".join(f'{label}="{value}"' for label, value in labels.items())
    return f"{name}{{{said}}}" if labels else name


class Counting:
    """What one process has counted since it was last stored."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, float] = {}

    def count(self, name: str, n: float = 1, **labels: str) -> None:
        """Count so many of something that is in the table; raises KeyError for what is not."""
        if n:
            self._add([(series_of(name, _known(name, labels)), n)])

    def observe(self, name: str, seconds: float, **labels: str) -> None:
        """Count something that took so long."""
        self.observe_each(name, [seconds], **labels)

    def observe_each(self, name: str, seconds: Iterable[float], **labels: str) -> None:
        """Count things that took so long each, in seconds; below zero, as clocks differ, is zero."""
        known, buckets = _known(name, labels), COUNTED[name].buckets
        found = [max(each, 0.0) for each in seconds]
        places = Counter(bisect_left(buckets, each) for each in found)
        ends = [*map(str, buckets), "+Inf"]
        counts: list[tuple[str, float]] = [
            (series_of(f"{name}_bucket", known | {"le": ends[place]}), n) for place, n in places.items()
        ]
        self._add([*counts, (series_of(f"{name}_sum", known), sum(found))])

    def _add(self, counts: Iterable[tuple[str, float]]) -> None:
        with self._lock:
            for series, n in counts:
                self._counts[series] = self._counts.get(series, 0.0) + n

    def take(self) -> dict[str, float]:
        """What was counted, once: whoever takes it stores it, or gives it back."""
        with self._lock:
            found, self._counts = self._counts, {}
        return found

    def give_back(self, counts: dict[str, float]) -> None:
        """What could not be stored."""
        self._add(counts.items())


def _known(name: str, labels: dict[str, str]) -> dict[str, str]:
    declared = COUNTED[name].labels
    if labels.keys() != declared.keys():
        raise KeyError(f"{name} has the labels {', '.join(declared)}")
    return {label: labels[label] if labels[label] in values else OTHER for label, values in declared.items()}


#: What this process counts.
counts = Counting()
