"""Learners, their status and its history, as SQL. Every function takes the organisation's number first."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from sqlalchemy import Connection

from config.database import column, later, one, rows, the_one
from config.sql import query
from tasks import organisations
from tasks.learners.rules import Change, Standing


@dataclass(frozen=True, slots=True)
class Learner:
    """What is known of a learner when an event about them is judged."""

    learner: int
    id: str
    standing: Standing
    version: int
    saved_version: int | None
    saved_at: datetime | None
    deleted_at: datetime | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "standing", Standing(self.standing))


@dataclass(frozen=True, slots=True)
class DatedStanding:
    """How a learner stands, and when that changed last, as far as it ever did."""

    learner: int
    id: str
    standing: Standing
    changed_at: datetime | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "standing", Standing(self.standing))


@dataclass(frozen=True, slots=True)
class Description:
    """How an event describes a learner."""

    learner: int
    version: int
    time: datetime
    username: str | None
    email: str | None
    first_name: str | None
    last_name: str | None
    locale: str | None
    time_zone: str | None

    def said(self) -> str:
        """What it says, as text."""
        fields = ("username", "email", "first_name", "last_name", "locale", "time_zone")
        return msgspec.json.encode({name: getattr(self, name) or None for name in fields}).decode()


@dataclass(frozen=True, slots=True)
class StatusChange:
    """One entry of the history of a learner's status."""

    learner: int
    version: int
    occurred_at: datetime
    active: bool
    cause: str


@dataclass(frozen=True, slots=True)
class Profile:
    """A learner, as a person sees them."""

    learner: int
    id: str
    standing: Standing
    username: str | None
    email: str | None
    first_name: str | None
    last_name: str | None
    locale: str | None
    time_zone: str | None


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """A change of status, as `learners show` lists it."""

    occurred_at: datetime
    status: str
    version: int
    cause: str


def ensure(connection: Connection, organisation: int, ids: Collection[str]) -> dict[str, Learner]:
    """The learners under these ids. One nobody saved yet gets a number, so that what is said of them is kept (S2).

    Under the organisation's lock.
    """
    known = find(connection, organisation, list(ids))
    new = give_numbers(connection, organisation, [id_ for id_ in dict.fromkeys(ids) if id_ not in known])
    if new:
        later(
            connection,
            """
            INSERT INTO learners (organisation, learner, id, standing, version)
            SELECT :organisation, unnest(CAST(:learners AS int[])), unnest(CAST(:ids AS text[])), 'unsaved', 0
            """,
            organisation=organisation,
            learners=[learner.learner for learner in new.values()],
            ids=list(new),
        )
    return known | new


def give_numbers(connection: Connection, organisation: int, ids: Sequence[str]) -> dict[str, Learner]:
    """Learners under these ids, which nothing has named yet, each with a number: dense, given out once, under the
    organisation's lock. The caller writes them."""
    before = organisations.number_learners(connection, organisation, len(ids)) if ids else 0
    return {id_: Learner(before + n, id_, Standing.UNSAVED, 0, None, None, None) for n, id_ in enumerate(ids, 1)}


def find(connection: Connection, organisation: int, ids: Sequence[str]) -> dict[str, Learner]:
    """The learners known, or at least mentioned, under these ids."""
    found = rows(
        connection,
        Learner,
        """
        SELECT l.learner, l.id, l.standing, l.version, l.saved_version, l.saved_at, l.deleted_at
        FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:ids AS text[])) AS id) asked
        JOIN learners l ON l.organisation = asked.organisation AND l.id = asked.id
        """,
        organisation=organisation,
        ids=list(dict.fromkeys(ids)),
    )
    return {learner.id: learner for learner in found}


def dated_standings(connection: Connection, organisation: int, ids: Sequence[str]) -> dict[str, DatedStanding]:
    """How the learners known, or at least mentioned, under these ids stand, and since when.

    Both conditions are of one index, and no join: row security shows the planner which organisation it is, and of one
    that no statistics know it would read all that it has."""
    found = rows(
        connection,
        DatedStanding,
        """
        SELECT l.learner, l.id, l.standing, (
            SELECT max(s.occurred_at) FROM status_changes s
            WHERE s.organisation = l.organisation AND s.learner = l.learner) AS changed_at
        FROM learners l WHERE l.organisation = :organisation AND l.id = ANY(CAST(:ids AS text[]))
        """,
        organisation=organisation,
        ids=list(dict.fromkeys(ids)),
    )
    return {learner.id: learner for learner in found}


def describe(connection: Connection, organisation: int, descriptions: Sequence[Description]) -> None:
    """Write what events say of learners; the caller has checked that it is the newest. Of two that claim the same
    version and time the greater holds, whichever is heard last."""
    if not descriptions:
        return
    later(
        connection,
        query("learners.describe"),
        organisation=organisation,
        **_as_columns(descriptions),
    )


def add(
    connection: Connection, organisation: int, newcomers: Mapping[str, Description], inactive: Collection[int]
) -> list[Change]:
    """Write learners whom nothing has named yet, by their ids, as they are described first: active, unless they are
    among the `inactive`. The changes of standing that this is."""
    descriptions = newcomers.values()
    standings = [Standing.INACTIVE if d.learner in inactive else Standing.ACTIVE for d in descriptions]
    if newcomers:
        later(
            connection,
            query("learners.add"),
            organisation=organisation,
            ids=list(newcomers),
            standings=[standing.value for standing in standings],
            **_as_columns(descriptions),
        )
    return [
        Change(d.learner, id_, Standing.UNSAVED, standing, d.username, d.email or None)
        for (id_, d), standing in zip(newcomers.items(), standings, strict=True)
    ]


def _as_columns(descriptions: Collection[Description]) -> dict[str, object]:
    return {
        "learners": [d.learner for d in descriptions],
        "versions": [d.version for d in descriptions],
        "times": [d.time for d in descriptions],
        "usernames": [d.username for d in descriptions],
        "emails": [d.email for d in descriptions],
        "first_names": [d.first_name for d in descriptions],
        "last_names": [d.last_name for d in descriptions],
        "locales": [d.locale for d in descriptions],
        "time_zones": [d.time_zone for d in descriptions],
    }


def told_late(
    connection: Connection, organisation: int, learners: Sequence[int], times: Sequence[datetime]
) -> list[int]:
    """Those of these learners of whose status something newer was heard, or who were enrolled or started anything, at
    these times or later (R6)."""
    return column(
        connection,
        query("learners.told_late"),
        organisation=organisation,
        learners=list(learners),
        times=list(times),
    )


def record_status(connection: Connection, organisation: int, changes: Sequence[StatusChange]) -> None:
    """Add to the history of status; `restate` follows. Of two that claim the same version and time, inactive holds: the
    safe one."""
    if not changes:
        return
    later(
        connection,
        query("learners.record_status"),
        organisation=organisation,
        learners=[c.learner for c in changes],
        versions=[c.version for c in changes],
        times=[c.occurred_at for c in changes],
        actives=[c.active for c in changes],
        causes=[c.cause for c in changes],
    )


def restate(
    connection: Connection, organisation: int, learners: Sequence[int], changes: Iterable[StatusChange] = ()
) -> list[Change]:
    """Bring the standing of these learners in line with what was saved and with their history, to which these `changes`
    were added just now; who changed."""
    if not learners:
        return []
    versions: dict[int, int] = {}
    for change in changes:
        versions[change.learner] = max(change.version, versions.get(change.learner, change.version))
    return rows(
        connection,
        Change,
        query("learners.restate"),
        organisation=organisation,
        learners=list(learners),
        versions=[versions.get(learner) for learner in learners],
    )


def profile(connection: Connection, organisation: int, id_: str) -> Profile | None:
    """One learner, unless only mentioned so far or deleted."""
    return one(
        connection,
        Profile,
        """
        SELECT learner, id, standing, username, email, first_name, last_name, locale, time_zone FROM learners
        WHERE organisation = :organisation AND id = :id AND standing IN ('active', 'inactive')
        """,
        organisation=organisation,
        id=id_,
    )


def history(connection: Connection, organisation: int, learner: int) -> list[HistoryEntry]:
    """A learner's changes of status, oldest first; nothing from before they were deleted, if ever (S15)."""
    return rows(
        connection,
        HistoryEntry,
        """
        SELECT occurred_at, CASE WHEN active THEN 'active' ELSE 'inactive' END AS status, version, cause
        FROM status_changes WHERE organisation = :organisation AND learner = :learner
          AND occurred_at > life_began(:organisation, :learner, 'infinity')
        ORDER BY version, occurred_at
        """,
        organisation=organisation,
        learner=learner,
    )


@dataclass(frozen=True, slots=True)
class Selection:
    """Whom a request means: how many of them are known, and which were active and which inactive at its time."""

    known: int
    active: list[int]
    inactive: list[int]


def selected_by_id(connection: Connection, organisation: int, ids: Sequence[str], moment: datetime) -> Selection:
    """The learners with these ids, judged by the history at that moment (S3)."""
    return _selected(connection, organisation, moment, ids=list(ids), learners=[])


def selected_by_number(
    connection: Connection, organisation: int, learners: Sequence[int], moment: datetime
) -> Selection:
    """The learners with these numbers, judged by the history at that moment (S3)."""
    return _selected(connection, organisation, moment, ids=[], learners=list(learners))


def _selected(
    connection: Connection, organisation: int, moment: datetime, *, ids: list[str], learners: list[int]
) -> Selection:
    scope: dict[str, object] = {"organisation": organisation, "ids": ids, "learners": learners, "moment": moment}
    return the_one(connection, Selection, query("learners.selected"), **scope)


def standings_off(connection: Connection, organisation: int) -> list[int]:
    """The learners whose present standing is not what their history says."""
    return column(
        connection,
        query("learners.standings_off"),
        organisation=organisation,
    )
