"""Reports as whoever gets them reads them."""

import csv
import io
import json
from typing import Any

from tasks import learners
from tasks.enrolments import Enrolment, enrolments_of
from tasks.reports import HISTORY, TRAINING, CourseSummary, Format, Report, Tab, stream, summary
from tests.world import World


def blocks(world: World, report: Report, tab: Tab, format_: Format, **small: int) -> list[bytes]:
    """The pieces in which a report of the world's organisation goes out."""
    with world.about() as (connection, org):
        return list(stream(connection, report, org.organisation, tab, format_, **small))


def lines(world: World, tab: Tab, report: Report = TRAINING) -> list[dict[str, Any]]:
    """The rows, as JSONL has them."""
    return [json.loads(line) for line in b"".join(blocks(world, report, tab, Format.JSONL)).splitlines()]


def history(world: World, tab: Tab) -> list[dict[str, Any]]:
    """The rows of the history of status, as JSONL has them."""
    return lines(world, tab, HISTORY)


def sheet(world: World, tab: Tab, report: Report = TRAINING) -> list[dict[str, str]]:
    """The rows, as a spreadsheet reads the CSV."""
    text = b"".join(blocks(world, report, tab, Format.CSV)).decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


def summarised(world: World, course: str | None = None) -> list[CourseSummary]:
    """The analytics of the world's organisation."""
    with world.about() as (connection, org):
        return summary(connection, org.organisation, course)


def enrolments(world: World, learner: str) -> list[Enrolment]:
    """A learner's enrolments as `learners show` lists them, every cycle."""
    with world.about() as (connection, org):
        profile = learners.profile(connection, org.organisation, learner)
        assert profile is not None
        return enrolments_of(connection, org.organisation, profile.learner)
