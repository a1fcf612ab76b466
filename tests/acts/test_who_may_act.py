"""R34: what each role may do about announcements, mail, templates, seats, suppressions and reports, act by act."""

import io
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from config.errors import UserError
from tasks.accounts import PERMISSIONS, Role, Scope
from tasks.acts import (
    announcements,
    drafts,
    every,
    launching,
    mail,
    previews,
    reports,
    seats,
    suppressions,
    templates,
)
from tasks.acts.acting import Nothing, perform
from tasks.events import Audience
from tasks.mail import Kind
from tests.acts.asking import audited, caller
from tests.isolation.neighbours import ONLY_THEIRS, OURS, SECRET, THEIRS, belongings, furnish_both
from tests.world import World

#: Where these acts are.
MODULES = (announcements, drafts, launching, mail, previews, reports, seats, suppressions, templates)

DAY = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Tried:
    """How an act is asked for about ours, and about what only they have, where it names something."""

    ours: Any
    theirs: Any = None


def named(shape: Any, id_: str, **more: Any) -> Tried:
    """An act that names an announcement."""
    return Tried(shape(id_, **more), shape(ONLY_THEIRS, **more))


#: Each act, as it is asked for. What it does is done to ours in this order.
ASKED = {
    "announcements.create": Tried(drafts.NewDraft("Hi", "Dear all", Audience(everyone=True), "made")),
    "announcements.edit": named(drafts.DraftChange, "made", subject="Hello"),
    "announcements.preview": named(previews.PreviewOf, "made"),
    "announcements.test": named(previews.TrialOf, "made", to="boss@nowhere.example"),
    "announcements.list": Tried(announcements.AnnouncementsPage()),
    "announcements.show": named(announcements.OneAnnouncement, "sent"),
    "announcements.recipients": named(announcements.RecipientsPage, "sent"),
    "announcements.export": named(announcements.RecipientsExport, "sent"),
    "announcements.ready": named(launching.ReadinessOf, "made"),
    "announcements.unschedule": named(announcements.OneAnnouncement, "scheduled"),
    "announcements.schedule": named(launching.Scheduling, "scheduled"),
    "announcements.delete": named(drafts.DraftDeletion, "unsent"),
    "announcements.launch": named(launching.Launching, "made"),
    "announcements.pause": named(announcements.OneAnnouncement, "made"),
    "announcements.resume": named(announcements.OneAnnouncement, "made"),
    "announcements.cancel": named(announcements.OneAnnouncement, "made"),
    "announcements.retry": named(launching.Retry, "sent"),
    "announcements.settle": named(launching.Settling, "sent", sent=True, why="their log says so"),
    "announcements.see": Tried(previews.Writing("Hi", "Dear all", Audience(everyone=True))),
    "mail.retry": Tried(mail.NoticesRetry(DAY)),
    "mail.show": Tried(Nothing()),
    "mail.check": Tried(mail.ServerCheckTo()),
    "mail.pause": Tried(Nothing()),
    "mail.resume": Tried(Nothing()),
    "mail.sent_since": Tried(mail.ServerLog(io.BytesIO(b"nothing of ours\n"))),
    "templates.list": Tried(Nothing()),
    "templates.sample": Tried(templates.TemplateOf(Kind.DIGEST)),
    "templates.render": Tried(templates.TemplateOf(Kind.DIGEST)),
    "reports.summary": Tried(reports.SummaryOf(), reports.SummaryOf(ONLY_THEIRS)),
    "reports.training": Tried(reports.TrainingExport()),
    "reports.history": Tried(reports.HistoryExport()),
    "seats.show": Tried(seats.BalanceOf()),
    "seats.ledger": Tried(seats.LedgerPage()),
    "seats.export": Tried(seats.LedgerExport()),
    "seats.reviewed": Tried(None),  # by the number of an entry
    "seats.reviewed_many": Tried(None),
    "suppressions.add": Tried(suppressions.NewSuppression("new@acme.example", "asked to")),
    "suppressions.list": Tried(suppressions.SuppressionsPage()),
    "suppressions.export": Tried(suppressions.SuppressionsExport()),
    "suppressions.remove": Tried(suppressions.SuppressionsChosen(["new@acme.example"])),
}


def all_of(answer: Any) -> str:
    """All that an answer says."""
    blocks = getattr(answer, "blocks", None)
    return str(answer) if blocks is None else b"".join(blocks).decode()


@pytest.fixture
def neighbours(world: World) -> World:
    """Two organisations, each with something of everything under the same ids."""
    furnish_both(world)
    world.execute("UPDATE deliveries SET state = 'failed', reason = 'deferred' WHERE state = 'accepted'")
    return world


def test_r34_each_act_is_done_by_whom_the_table_says_and_of_ours_alone(neighbours: World) -> None:
    ours = {module.__name__ for module in MODULES}
    acts = {name: act for name, act in every().items() if act.does.__module__ in ours}
    assert ASKED.keys() == acts.keys()
    (entry, theirs) = (
        neighbours.ask(
            "SELECT CAST(min(r.consumption) AS text) FROM reviews r JOIN organisations o USING (organisation)"
            " WHERE o.id = :id AND code <> ''",
            id=id_,
        )
        for id_ in (OURS, THEIRS)
    )
    asked = ASKED | {
        "seats.reviewed": Tried(seats.EntryReview(entry, "seen"), seats.EntryReview(theirs, "seen")),
        "seats.reviewed_many": Tried(seats.EntryReviews([entry], "seen"), seats.EntryReviews([theirs], "seen")),
    }
    before, wrong = belongings(neighbours, THEIRS), {}
    seen = len(audited(neighbours))

    def outcome(name: str, request: Any, role: Role, *mine: str) -> str:
        nonlocal seen
        act = acts[name]
        organisation = OURS if PERMISSIONS[name].scope is Scope.ORGANISATION else None
        try:
            said = all_of(perform(neighbours.runtime, caller(role, *mine), act, request, organisation))
            end = "done"
        except UserError as problem:
            said, end = str(problem), type(problem).__name__
        assert SECRET not in said
        assert THEIRS not in said
        written = audited(neighbours)[seen:]
        seen += len(written)
        if act.changes and end in {"Forbidden", "done"}:
            assert {row[0] for row in written} == {name}, "what changes something is written down"
            assert (end == "done") == all(row[4] in {"done", "begun"} for row in written)
        elif not act.changes:
            assert written == []
        return end

    for name, tried in asked.items():
        least, scope = PERMISSIONS[name].role, PERMISSIONS[name].scope
        expected = {}
        if scope is Scope.ORGANISATION:
            expected["elsewhere"] = ("NotFound", outcome(name, tried.ours, Role.ADMIN, THEIRS))
            if tried.theirs is not None:
                expected["theirs"] = ("NotFound", outcome(name, tried.theirs, Role.ADMIN, OURS))
        for role in (role for role in Role if [*Role].index(role) < [*Role].index(least)):
            expected[role] = ("Forbidden", outcome(name, tried.ours, role, OURS))
        if name == "seats.reviewed_many":
            neighbours.execute(
                """
                INSERT INTO reviews (organisation, consumption, code, event)
                SELECT organisation, consumption, 'again', '' FROM reviews JOIN organisations o USING (organisation)
                WHERE o.id = :ours AND consumption = :entry
                """,
                ours=OURS,
                entry=int(entry),
            )
        if name == "announcements.settle":
            neighbours.execute(
                """
                UPDATE mailings m SET state = 'finished' FROM organisations o
                WHERE o.organisation = m.organisation AND o.id = :ours AND m.id = 'sent'
                """,
                ours=OURS,
            )
            neighbours.execute(
                """
                UPDATE deliveries d SET state = 'uncertain', reason = 'ambiguous', settled_at = now()
                FROM mailings m JOIN organisations o USING (organisation)
                WHERE o.id = :ours AND m.id = 'sent' AND d.organisation = m.organisation AND d.mailing = m.mailing
                """,
                ours=OURS,
            )
        if name == "mail.sent_since":
            assert isinstance(tried.ours, mail.ServerLog)
            tried.ours.file.seek(0)
        expected["allowed"] = (
            "done",
            outcome(name, tried.ours, least, *([OURS] if least is not Role.OPERATOR else [])),
        )
        if odd := {who: what for who, what in expected.items() if what[0] != what[1]}:
            wrong[name] = odd

    assert wrong == {}
    assert belongings(neighbours, THEIRS) == before
