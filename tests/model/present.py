"""What holds in the system now, beside what the facts say it must: the part that no order and no moment decides."""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from sqlalchemy import Connection, text

from config.database import transaction
from tasks import enrolments, learners
from tests.model.model import Event, Facts, Place
from tests.world import World


def histories(few: int) -> settings:
    """So many histories, always the same; or as many new ones as the environment's `HISTORIES` says."""
    many = os.environ.get("HISTORIES")
    return settings(
        max_examples=int(many or few),
        derandomize=many is None,
        phases=[Phase.generate, Phase.shrink] if many else [Phase.generate],  # each costs a conversation with servers
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=[*HealthCheck],
    )


def event_of(body: bytes) -> Event:
    """An event as it travelled, for the model."""
    said = json.loads(body)
    return Event(said["id"], said["type"].removeprefix("platform."), datetime.fromisoformat(said["time"]), said["data"])


@contextmanager
def tables(world: World) -> Iterator["Tables"]:
    """A look at the tables, again and again, over one connection."""
    with world.runtime.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        yield Tables(connection)


@dataclass(frozen=True)
class Tables:
    """What the tables say, as of now."""

    connection: Connection

    def rows(self, sql: str, **parameters: object) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        return [tuple(row) for row in self.connection.execute(text(sql), parameters)]


def compare_people(tables: Tables, organisation: str, facts: Facts) -> None:
    """How the learners stand, and who is in which segment (R6)."""
    standing = dict(
        tables.rows(
            "SELECT l.id, standing FROM learners l JOIN organisations o USING (organisation) WHERE o.id = :id",
            id=organisation,
        )
    )
    wanted = {id_: learner.standing for id_, learner in facts.learners.items()}
    found = {id_: standing.get(id_, "unsaved") for id_ in wanted}
    assert found == wanted, f"found {found}, wanted {wanted}"
    members = tables.rows(
        """
        SELECT s.id, l.id FROM organisations o JOIN memberships m USING (organisation)
        JOIN segments s USING (organisation, segment) JOIN learners l USING (organisation, learner)
        WHERE o.id = :id AND m.member
        """,
        id=organisation,
    )
    assert set(members) == {(segment, who) for segment, who in [*facts.memberships] if facts.is_member(segment, who)}


def compare_enrolments(world: World, facts: Facts, places: Iterable[Place]) -> None:
    """Once everything is done: an enrolment stands while a source is left or once it was started, unless it was
    withdrawn by name and not asked for since; its sources are the requests and the rules as they stand (R10, S5)."""
    number = world.ask("SELECT organisation FROM organisations WHERE id = :id", id=world.organisation)
    shown: dict[Place, enrolments.Enrolment] = {}
    with transaction(world.runtime.engine, number) as connection:
        for id_, learner in facts.learners.items():
            if profile := learners.profile(connection, number, id_):
                assert learner.known
                found = enrolments.enrolments_of(connection, number, profile.learner)
                shown |= {Place(id_, one.course, one.cycle): one for one in found}
    for place in places:
        learner = facts.learners[place.learner]
        if not learner.known or (learner.was_deleted and facts.requests_holding(place)):
            continue  # a request that comes upon a deleted learner enrols nobody, and the facts do not say when it came
        one, sources = shown.get(place), facts.sources(place)
        started = one is not None and one.started_at is not None and not facts.barred(place)
        stands = one is not None and one.withdrawn_at is None
        assert stands == bool(sources or started), f"{place}: sources are {sources}, found {one}"
        named = {source for source in sources if source.partition(":")[0] != "segment" or source[8:] in facts.segments}
        assert not stands or one is None or set(one.sources) == named, f"{place}: sources"
