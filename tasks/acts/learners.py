"""Learners: what an admin sees of them, and what is changed by hand."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta
from sqlalchemy import Connection

from config import clock
from config.database import after_commit, durable_with_the_next, keep_plans, scoped, snapshot, transaction
from config.errors import BadField, Conflict, Invalid, NotFound
from config.phrases import LEARNER_AHEAD, NO_COURSE, NO_LEARNER
from config.words import some_of
from tasks import enrolments, erasure, intake, learners, mail, seats
from tasks.acts.acting import Doing, act
from tasks.acts.changing import all_known, event_of, known_learners, known_segments, moment_after
from tasks.acts.paging import USUAL, After, Limit, Page, Stream, keys_after, page_ending_at

Wanted = Literal["active", "inactive"]

#: Members of a segment that one page of a list looks at, and learners that one page of a search does, besides what its
#: index passes over: tens of milliseconds.
SCANNED, SEARCHED = 20_000, 5000

#: Learners whose status is changed in one transaction.
SLICE = 5000

#: Learners of whom it is written down in the transaction that changes their status that it is done; of more, that would
#: keep the organisation locked for longer.
FEW = 100


@dataclass(frozen=True, slots=True)
class LearnerDetails:
    """A learner, whole."""

    learner: str
    organisation: str
    status: str
    username: str | None
    email: str | None
    first_name: str | None
    last_name: str | None
    locale: str | None
    time_zone: str | None
    segments: list[str]
    history: list[learners.HistoryEntry]
    explained: enrolments.Explained | None
    enrolments: list[enrolments.Enrolment]
    seats: list[seats.Entry]
    mail: list[mail.ReceivedMail]
    unsubscribed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Toggled:
    """What became of a change of status made by hand."""

    learner: str
    status: str
    changed: bool


@dataclass(frozen=True, slots=True)
class OneLearner:
    """A learner; with a `course`, whether there is access to it and why is explained."""

    learner: str
    course: str | None = None


@dataclass(frozen=True, slots=True)
class LearnersStatus:
    """A status, and whose it is to be. `dry_run`: only what would come of it."""

    learners: list[str]
    status: Wanted
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class LearnerToggle:
    """Whose status it is."""

    learner: str


@dataclass(frozen=True, slots=True)
class Subscribed:
    """Whether a learner gets announcements."""

    learner: str
    subscribed: bool


@dataclass(frozen=True, slots=True)
class SubscriptionChange:
    """Who is to get announcements, or none. `dry_run`: only whether all are known."""

    learners: list[str]
    subscribed: bool
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class LearnersAsked:
    """Which learners. `search`: words, each a part of an id, username, address or name; accents and capitals do not
    count. `order`: as they were added or, without a search and a segment, the newest first (`-added`).

    A page of a segment or of a search looks at so many learners and may hold fewer than `limit`, even none: go on while
    `next` is not null.
    """

    tab: Literal["active", "all", "inactive"] = "active"
    search: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    segment: str | None = None
    order: Literal["added", "-added"] = "added"
    limit: Limit = USUAL
    after: After | None = None


@act("learners.list", "GET learners")
def list_(doing: Doing, asked: LearnersAsked) -> Page[learners.LearnerSummary]:
    """List learners: the tabs of the Users page."""
    org = doing.organisation
    if asked.order != "added":
        return _newest(doing, asked)
    listed = ("learners", org.organisation, asked.tab, asked.search, asked.segment)
    (after,) = keys_after(asked.after, tuple[int], *listed) or (0,)
    standings = [learners.Standing.ACTIVE, learners.Standing.INACTIVE] if asked.tab == "all" else [asked.tab]
    number, segment = org.organisation, None
    if asked.segment is not None:
        with doing.transaction() as connection:
            segment = known_segments(connection, doing, [asked.segment])[asked.segment]
    chosen = learners.LearnerFilter(standings, segment)
    if asked.search is not None:
        with transaction(doing.runtime.engine, number) as connection:
            hits = learners.search(connection, number, asked.search, after, chosen, SEARCHED, asked.limit + 1)
        matched = hits.matched[: asked.limit]
        with doing.transaction() as connection:
            found = learners.numbered(connection, number, matched, chosen) if matched else []
        end = matched[-1] if len(hits.matched) > asked.limit else hits.reached
    else:
        with doing.transaction() as connection:
            found = learners.learners_after(connection, number, after, chosen, SCANNED, asked.limit + 1)
            end = found[asked.limit - 1][0] if len(found) > asked.limit else None
            if end is None and segment is not None:
                end = learners.scanned_to(connection, number, after, segment, SCANNED)
    shown = [one for _, one in found[: asked.limit]]
    return page_ending_at(shown, None if end is None else (end,), *listed)


def _newest(doing: Doing, asked: LearnersAsked) -> Page[learners.LearnerSummary]:
    if asked.search is not None or asked.segment is not None:
        what = "Members and what a search finds are listed in the order in which they were added."
        raise Invalid(f"They cannot be listed so: {what}", [BadField("/order", what)])
    number = doing.organisation.organisation
    listed = ("newest learners", number, asked.tab)
    (before,) = keys_after(asked.after, tuple[int], *listed) or (None,)
    standings = [learners.Standing.ACTIVE, learners.Standing.INACTIVE] if asked.tab == "all" else [asked.tab]
    chosen = learners.LearnerFilter(standings, None)
    with doing.transaction() as connection:
        found, end = learners.learners_before(connection, number, before, chosen, SCANNED, asked.limit + 1)
    return page_ending_at([one for _, one in found], None if end is None else (end,), *listed)


@act("learners.show", "GET learners/{learner}")
def show(doing: Doing, asked: OneLearner) -> LearnerDetails:
    """A learner: status and history, enrolments and what stands between them and access, seats, mail."""
    org = doing.organisation
    with doing.transaction() as connection:
        profile = learners.profile(connection, org.organisation, asked.learner)
        if profile is None:
            raise NotFound(NO_LEARNER(learner=repr(asked.learner), organisation=repr(org.id)))
        subscribed = mail.subscription(connection, org.organisation, profile.learner)
        explained = None
        if asked.course is not None:
            explained = enrolments.explain(connection, org.organisation, profile.learner, asked.course)
            if explained is None:
                raise NotFound(NO_COURSE(course=repr(asked.course), organisation=repr(org.id)))
        return LearnerDetails(
            learner=profile.id,
            organisation=org.id,
            status=profile.standing,
            username=profile.username,
            email=profile.email,
            first_name=profile.first_name,
            last_name=profile.last_name,
            locale=profile.locale,
            time_zone=profile.time_zone,
            segments=learners.segments_of(connection, org.organisation, profile.learner),
            history=learners.history(connection, org.organisation, profile.learner),
            enrolments=enrolments.enrolments_of(connection, org.organisation, profile.learner),
            seats=seats.ledger(connection, org.organisation, seats.LedgerFilter(profile.id)),
            mail=mail.received_by(connection, org.organisation, profile.learner),
            unsubscribed_at=subscribed.unsubscribed_at if subscribed else None,
            explained=explained,
        )


@act("learners.export", "GET learners/{learner}/export", changes=True, media=("application/json",))
def export(doing: Doing, asked: LearnerToggle) -> Stream:
    """Everything that is kept of a learner, from every table and payload, as one JSON document: for a person who asks
    what is kept of them (R35). As long as nothing changes, it stays the same."""
    org = doing.organisation
    with doing.transaction() as connection:
        found = learners.find(connection, org.organisation, [asked.learner]).get(asked.learner)
        if found is None:
            raise NotFound(NO_LEARNER(learner=repr(asked.learner), organisation=repr(org.id)))
        doing.record(connection, found.id)

    def blocks() -> Iterator[bytes]:
        with snapshot(doing.runtime.engine, org.organisation) as connection:
            yield from erasure.document(connection, org.organisation, org.id, found.learner, found.id)

    return Stream("application/json", blocks(), f"learner-{found.learner}.json")


@act("learners.activate", "POST learners/{learner}/activate")
def activate(doing: Doing, asked: LearnerToggle) -> Toggled:
    """Make a learner active: full access at once to all they are enrolled in (R4, R5)."""
    return set_statuses(doing, [asked.learner], learners.Standing.ACTIVE)[0]


@act("learners.deactivate", "POST learners/{learner}/deactivate")
def deactivate(doing: Doing, asked: LearnerToggle) -> Toggled:
    """Make a learner inactive: no access, no mail; nothing is given back, nothing is lost (R3)."""
    return set_statuses(doing, [asked.learner], learners.Standing.INACTIVE)[0]


@act("learners.status", "POST learners/status", each="learners")
def set_status(doing: Doing, asked: LearnersStatus) -> list[Toggled]:
    """Make learners active or inactive."""
    status = learners.Standing(asked.status)
    if not asked.dry_run:
        return set_statuses(doing, asked.learners, status)
    with doing.transaction() as connection:
        known = known_learners(connection, doing, list(dict.fromkeys(asked.learners)))
    return [Toggled(id_, status, one.standing != status) for id_, one in known.items()]


def set_statuses(doing: Doing, ids: Sequence[str], status: learners.Standing) -> list[Toggled]:
    """Make learners active or inactive, by events like any other (S1); in effect when this returns."""
    org, wanted = doing.organisation, list(dict.fromkeys(ids))
    now = clock.now()
    with doing.transaction(pipelined=True) as connection:
        durable_with_the_next(connection)
        if len(wanted) <= FEW:
            keep_plans(connection)
        before = all_known(doing, learners.dated_standings(connection, org.organisation, wanted), wanted)
        changes = {id_: ({"status": one.standing}, {"status": status}) for id_, one in before.items()}
        doing.record_each(connection, changes, "begun")
    recorded: list[bool] = []

    def record(connection: Connection) -> None:
        with scoped(connection, org.organisation):
            if not _standing_otherwise(learners.find(connection, org.organisation, wanted), wanted, status):
                doing.record_each(connection, changes)
                after_commit(connection, lambda: recorded.append(True))

    for low in range(0, len(wanted), SLICE):
        dated = before
        if low:
            with doing.transaction() as connection:
                dated = learners.dated_standings(connection, org.organisation, wanted[low : low + SLICE])
        events = [
            event_of(
                doing,
                "learner.status_changed",
                {"learner": id_, "status": status},
                moment_after(dated.get(id_, before[id_]).changed_at, now),
                f"{id_} {status}",
            )
            for id_ in wanted[low : low + SLICE]
        ]
        few = len(wanted) <= FEW
        intake.process_batch(
            doing.runtime.engine,
            doing.runtime.settings,
            events,
            at_once=True,
            known={org.id: org.organisation},
            few=few,
            then=record if few else None,
        )
    if not recorded:
        with doing.transaction(pipelined=True) as connection:
            if ahead := _standing_otherwise(known_learners(connection, doing, wanted), wanted, status):
                raise Conflict(LEARNER_AHEAD(learners=some_of(ahead), status=status))
            doing.record_each(connection, changes)
    return [Toggled(id_, status, before[id_].standing != status) for id_ in wanted]


@act("learners.subscription", "POST learners/subscription", each="learners")
def subscribe(doing: Doing, asked: SubscriptionChange) -> list[Subscribed]:
    """Send learners no announcements any more, as the link in each does; or again, at their own wish alone."""
    with doing.transaction() as connection:
        found = known_learners(connection, doing, asked.learners)
        if asked.dry_run:
            return [Subscribed(id_, asked.subscribed) for id_ in found]
        change = mail.resubscribe if asked.subscribed else mail.unsubscribe
        change(connection, doing.organisation.organisation, [learner.learner for learner in found.values()])
        doing.record_each(connection, {id_: ({}, {"subscribed": asked.subscribed}) for id_ in found})
    return [Subscribed(id_, asked.subscribed) for id_ in dict.fromkeys(asked.learners)]


def _standing_otherwise(
    found: Mapping[str, learners.Learner], wanted: Sequence[str], status: learners.Standing
) -> list[str]:
    """Which of them do not stand so, or are not known."""
    return [id_ for id_ in wanted if id_ not in found or found[id_].standing != status]
