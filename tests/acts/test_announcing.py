"""Announcements as acts: what is launched is what was shown, and what is written down of it."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier

import pytest
from msgspec import UNSET

from config.errors import Conflict, Invalid, NotFound
from tasks.accounts import Role
from tasks.acts import announcements, drafts, launching, mail, seats, suppressions
from tasks.acts.acting import Nothing, perform
from tasks.announcements import NotAllowed
from tasks.events import Audience
from tasks.mail import Delivery, Suppressed
from tests.acts.asking import ask, audited, caller, pages
from tests.world import World


@pytest.fixture
def draft(world: World) -> World:
    """A draft for everyone, which two learners would receive."""
    world.has_learners("A", "B")
    ask(world, drafts.create, drafts.NewDraft("Subject Of Ours", "Body Of Ours", Audience(everyone=True), "news"))
    return world


def shown(world: World, announcement: str = "news") -> announcements.WholeAnnouncement:
    """The announcement as it is now."""
    return ask(world, announcements.show, announcements.OneAnnouncement(announcement))


def refusal(do: Callable[[], object], kind: type[Exception] = Conflict) -> str:
    """Why it is refused."""
    with pytest.raises(kind) as refused:
        do()
    return str(refused.value)


def test_r16_what_is_launched_is_what_was_shown(draft: World) -> None:
    ready = ask(draft, launching.ready, launching.ReadinessOf("news"))
    first = shown(draft)
    assert (ready.will_receive, ready.version) == (2, first.version)
    draft.has_learners("C")
    assert "3 learners would receive news by now, and 2 had been shown" in refusal(
        lambda: ask(draft, launching.launch, launching.Launching("news", will_receive=2))
    )
    ask(draft, drafts.edit, drafts.DraftChange("news", body="Another body", version=first.version))
    second = shown(draft)
    assert (second.version != first.version, second.subject, second.body) == (True, "Subject Of Ours", "Another body")
    for stale in (
        lambda: ask(draft, launching.launch, launching.Launching("news", will_receive=3, version=first.version)),
        lambda: ask(draft, drafts.edit, drafts.DraftChange("news", subject="Mine", version=first.version)),
        lambda: ask(draft, drafts.delete, drafts.DraftDeletion("news", first.version)),
        lambda: ask(draft, launching.schedule, launching.Scheduling("news", first.version)),
    ):
        assert refusal(stale) == "The announcement news was changed after it was shown: look at it again."
    assert shown(draft) == second

    done = ask(draft, launching.launch, launching.Launching("news", will_receive=3, version=second.version))

    assert (done.state, done.will_receive) == ("sending", 3)
    assert "the announcement news is sending" in refusal(
        lambda: ask(draft, launching.launch, launching.Launching("news", will_receive=3))
    )


def test_of_two_who_change_what_both_were_shown_one_is_refused(draft: World) -> None:
    version, together = shown(draft).version, Barrier(2)

    def edit(subject: str) -> str | None:
        together.wait()
        try:
            ask(draft, drafts.edit, drafts.DraftChange("news", subject=subject, version=version))
        except Conflict:
            return None
        return subject

    with ThreadPoolExecutor(2) as two:
        (kept,) = [subject for subject in two.map(edit, ["one", "other"]) if subject]

    assert shown(draft).subject == kept


def test_a_draft_is_deleted_and_its_id_is_free_but_not_of_what_an_event_asked_for(draft: World) -> None:
    assert ask(draft, drafts.delete, drafts.DraftDeletion("news")).announcement == "news"
    refusal(lambda: shown(draft), NotFound)
    refusal(lambda: ask(draft, drafts.delete, drafts.DraftDeletion("news")), NotFound)
    assert draft.rows("SELECT FROM mailing_changes") == []
    again = drafts.NewDraft("Again", "Again", Audience(learners=["A", "A"]), "news", "2099-01-01T09:00")
    ask(draft, drafts.create, again)
    assert shown(draft).audience == Audience(learners=["A"])
    ask(draft, launching.schedule, launching.Scheduling("news"))
    assert "the announcement news is scheduled; only a draft" in refusal(
        lambda: ask(draft, drafts.delete, drafts.DraftDeletion("news"))
    )
    ask(draft, launching.unschedule, announcements.OneAnnouncement("news"))
    ask(draft, drafts.delete, drafts.DraftDeletion("news"))
    draft.announces("asked", send_at="2099-01-01T00:00:00Z")
    ask(draft, launching.unschedule, announcements.OneAnnouncement("asked"))

    said = refusal(lambda: ask(draft, drafts.delete, drafts.DraftDeletion("asked")), NotAllowed)

    assert said == "an event asked for the announcement asked, and could ask again: cancel it instead"


def test_a_time_is_given_changed_and_taken_away(draft: World) -> None:
    def edit(**change: object) -> tuple[object, str | None]:
        ask(draft, drafts.edit, drafts.DraftChange("news", **change))  # type: ignore[arg-type]
        found = shown(draft)
        return found.send_at and found.send_at.isoformat(), found.time_zone

    assert "news has no time: edit" in refusal(lambda: ask(draft, launching.schedule, launching.Scheduling("news")))
    at_nine = ("2099-01-01T08:00:00+00:00", "Europe/Paris")
    assert edit(send_at="2099-01-01T09:00", time_zone="Europe/Paris") == at_nine
    assert edit(subject="Another") == at_nine
    assert edit(send_at="2099-01-01T09:00") == ("2099-01-01T09:00:00+00:00", None)
    assert edit(send_at=None) == (None, None)
    for change, pointer in (
        ({"time_zone": "Europe/Paris"}, "/time_zone"),
        ({"send_at": "2099-01-01T09:00", "time_zone": "Nowhere"}, "/time_zone"),
        ({"send_at": "soon"}, "/send_at"),
        ({"send_at": "2001-01-01T09:00"}, "/send_at"),
        ({"subject": " "}, "/subject"),
        ({"body": "{{ nothing }}"}, "/body"),
        ({"audience": Audience(segments=["none"])}, "/audience/segments"),
        ({"audience": Audience(learners=["nobody"])}, "/audience/learners"),
    ):
        with pytest.raises(Invalid) as refused:
            edit(**change)
        assert [field.pointer for field in refused.value.errors] == [pointer]
    assert shown(draft).subject == "Another"


def test_r34_what_is_written_down_has_states_counts_and_ids_and_names_nobody(draft: World) -> None:
    draft.starts("A", "safety")  # waits for its course: nothing is charged
    ask(draft, drafts.edit, drafts.DraftChange("news", subject="New Subject", audience=UNSET))
    ask(draft, launching.launch, launching.Launching("news"))
    ask(draft, launching.pause, announcements.OneAnnouncement("news"))
    ask(draft, launching.cancel, announcements.OneAnnouncement("news"))
    ask(draft, suppressions.add, suppressions.NewSuppression("Who@Acme.example", "she asked"))
    ask(draft, suppressions.remove, suppressions.SuppressionsChosen(reason=Suppressed.BY_HAND, dry_run=True))
    ask(draft, suppressions.remove, suppressions.SuppressionsChosen(["who@acme.example"], why="Ann called"))
    refusal(lambda: ask(draft, suppressions.remove, suppressions.SuppressionsChosen(["who@acme.example"])), NotFound)
    refusal(lambda: ask(draft, seats.reviewed, seats.EntryReview("9" * 30, "seen")), NotFound)
    operator = caller(Role.OPERATOR)
    for act in (mail.pause, mail.resume):
        perform(draft.runtime, operator, act, Nothing())

    assert audited(draft) == [
        ("announcements.create", "news", None, {"state": "draft", "policy": "hold", "send_at": None}, "done"),
        (
            "announcements.edit",
            "news",
            {"state": "draft", "send_at": None},
            {"state": "draft", "send_at": None, "changed": ["subject"]},
            "done",
        ),
        ("announcements.launch", "news", {"state": "draft"}, {"state": "sending", "will_receive": 2}, "done"),
        ("announcements.pause", "news", {"state": "sending"}, {"state": "paused"}, "done"),
        ("announcements.cancel", "news", {"state": "paused"}, {"state": "cancelled"}, "done"),
        ("suppressions.add", None, None, {"suppressed": 1, "reason": "by hand"}, "done"),
        ("suppressions.remove", None, {"suppressed": 1, "reason": None}, None, "done"),
        ("suppressions.remove", None, None, None, "refused: NotFound"),
        ("seats.reviewed", None, None, None, "refused: NotFound"),
        ("mail.pause", None, {"paused": False}, {"paused": True}, "done"),
        ("mail.resume", None, {"paused": True}, {"paused": False}, "done"),
    ]
    kept = json.dumps([row[0] for row in draft.rows("SELECT to_jsonb(a) FROM audit a")])
    assert [word for word in ("Subject", "Body", "acme.example", "asked", "called") if word in kept] == []
    assert {row[0] for row in draft.rows("SELECT who || door || address FROM audit")} == {"annapi192.0.2.1"}


def test_pages_skip_and_double_nothing_while_more_comes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [f"L{n}" for n in range(5)]
    world.has_learners(*ids)
    world.has_course("safety")
    world.asks_to_enrol("safety", *ids)
    world.settle()
    for id_ in ids:
        world.starts(id_, "safety")
        ask(world, suppressions.add, suppressions.NewSuppression(f"{id_}@x.example", "asked"))
        draft = drafts.NewDraft("Hi", "Hi", Audience(learners=ids), f"n{id_}")
        ask(world, drafts.create, draft)
    ask(world, launching.launch, launching.Launching("nL0"))
    world.settle()
    world.execute("UPDATE suppressions SET since = now() - interval '1 day' WHERE address LIKE 'l4%'")

    listed = []
    for page in pages(world, announcements.list_, announcements.AnnouncementsPage):
        listed += [one.announcement for one in page.items]
        if len(listed) == 2:
            ask(world, drafts.create, drafts.NewDraft("Late", "Late", Audience(everyone=True), "late"))
            ask(world, drafts.delete, drafts.DraftDeletion("nL3"))  # the one that the cursor was made of
    entries = []
    for found in pages(world, seats.ledger, seats.LedgerPage):
        entries += [one.learner for one in found.items]
        if len(entries) == 2:
            world.has_learners("M")
            world.asks_to_enrol("safety", "M")
            world.settle()
            world.starts("M", "safety")
    suppressed = []
    for those in pages(world, suppressions.list_, suppressions.SuppressionsPage):
        suppressed += [one.address for one in those.items]
        if len(suppressed) == 2:
            ask(world, suppressions.add, suppressions.NewSuppression("a@x.example", "asked"))
    recipients = [
        one
        for page in pages(world, announcements.recipients, partial(announcements.RecipientsPage, "nL0"))
        for one in page.items
    ]

    assert listed == ["nL4", "nL3", "nL2", "nL1", "nL0"]
    assert entries == [*ids, "M"]
    assert suppressed == [*(f"{id_.lower()}@x.example" for id_ in ids), "a@x.example"]
    assert [one.learner for one in recipients] == ids
    assert {(one.state, len(one.attempts), one.attempts[0].answer) for one in recipients} == {
        ("accepted", 1, "accepted")
    }
    monkeypatch.setattr(announcements, "SCANNED", 2)
    world.execute("UPDATE deliveries SET state = 'failed', reason = 'refused' WHERE recipient IN (1, 5)")
    failed = partial(announcements.RecipientsPage, "nL0", Delivery.FAILED)
    assert [[one.learner for one in page.items] for page in pages(world, announcements.recipients, failed)] == [
        ["L0"],
        [],
        ["L4"],
    ]
    cursor = next(pages(world, suppressions.list_, suppressions.SuppressionsPage)).next
    refusal(lambda: ask(world, seats.ledger, seats.LedgerPage(after=cursor)), Invalid)
