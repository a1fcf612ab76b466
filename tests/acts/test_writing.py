"""What is written is seen before it is kept, and what nobody knows is settled by a person: R16, R18, R19, R34."""

import pytest

from config.errors import Conflict, NotFound
from tasks.acts import announcements, launching, previews
from tasks.announcements import Fault, Hole
from tasks.events import Audience
from tasks.mail import Delivery
from tests.acts.asking import ask
from tests.announcements.counting import adds_up
from tests.world import World

EVERYONE = Audience(everyone=True)


def seen(world: World, body: str, subject: str = "News", audience: Audience = EVERYONE, **more: object) -> object:
    return ask(world, previews.see, previews.Writing(subject, body, audience, **more))  # type: ignore[arg-type]


def test_every_mistake_is_named_at_its_line(world: World) -> None:
    found = ask(world, previews.see, previews.Writing("Hi {{ x }}", "One\n{{ nick }}\n\n}} and {{", EVERYONE))

    assert [(one.part, one.line) for one in found.faults] == [
        ("subject", None),
        ("body", 2),
        ("body", 4),
        ("body", 4),
    ]
    assert found.mail is None
    assert found.faults[1].says.startswith("Line 2: {{ nick }} is not a merge field.")


@pytest.mark.parametrize(
    ("subject", "body", "fault"),
    [
        ("", "Hello.", Fault("subject", None, "The subject is empty.")),
        ("News", " ", Fault("body", None, "The body is empty.")),
        ("News", "Hi\n\n{{ subject }}", None),
        ("News", "Hi\n\n[a](javascript:x)", None),
    ],
)
def test_a_mistake_of_any_sort_is_said_of_its_part(world: World, subject: str, body: str, fault: Fault | None) -> None:
    (found,) = ask(world, previews.see, previews.Writing(subject, body, EVERYONE)).faults

    if fault is None:
        assert (found.part, found.line, found.says.startswith("Line 3: ")) == ("body", 3, True)
    else:
        assert found == fault


def test_r16_what_is_written_is_read_as_a_real_learner_would_and_counted_by_reason(world: World) -> None:
    world.has_learners("ann", first_name="Ann")
    world.has_learners("bob", first_name="")
    world.has_learners("una", email=None)
    world.has_learners("gone", "off")
    world.becomes("inactive", "off")
    world.has_segment("s", "bob", "off")
    written = "Hello {{ first_name }},\n\n**bold**"

    first = ask(world, previews.see, previews.Writing("To {{ full_name }}", written, EVERYONE))
    other = ask(world, previews.see, previews.Writing("News", written, Audience(segments=["s"]), "bob"))
    nobody = ask(world, previews.see, previews.Writing("News", written, Audience(learners=[]), count=False))

    assert first.mail is not None
    assert (first.mail.learner, first.mail.subject) == ("ann", "To Ann Lastann")
    assert "<strong>bold</strong>" in first.mail.html
    assert "Hello Ann,\n\n*bold*" in first.mail.text
    assert (first.selected, first.will_receive, first.left_out) == (5, 3, {"inactive": 1, "no address": 1})
    assert first.holes == [Hole("body", 1, "first_name", 1, 3)]
    assert other.mail is not None
    assert (other.mail.learner, "Hello ," in other.mail.text) == ("bob", True)
    assert (other.selected, other.will_receive, other.left_out) == (2, 1, {"inactive": 1})
    assert nobody.mail is not None
    assert (nobody.mail.learner, nobody.selected) == (None, None)
    with pytest.raises(NotFound):
        ask(world, previews.see, previews.Writing("News", written, EVERYONE, "none"))
    assert world.ask("SELECT count(*) FROM mailings WHERE kind = 'announcement'") == 0


def test_r34_no_preview_hands_out_what_unsubscribes_somebody(world: World) -> None:
    world.has_learners("ann")
    world.announces(send_at="2099-01-01T00:00:00Z")

    written = ask(world, previews.see, previews.Writing("News", "Hello.", EVERYONE)).mail
    stored = ask(world, previews.preview, previews.PreviewOf("news")).sample

    assert written is not None
    assert stored is not None
    for said in (written.html, written.text, stored.text):
        assert "unsubscribe" in said.lower()
        assert "/unsubscribe/…" in said, said


@pytest.fixture
def unsure(world: World) -> World:
    """An announcement that is finished, of whose three recipients one got it and of two nobody knows."""
    world.has_learners("fine", "sure", "unsure")
    world.mail.hangs_up = lambda address: "sure@" in address
    world.announces()
    world.comes_to_rest()
    assert adds_up(world).uncertain == 2
    world.mail.reset()
    return world


def test_r19_what_nobody_knows_is_settled_by_a_person_and_only_what_was_not_sent_goes_again(unsure: World) -> None:
    def settle(sent: bool, *learners: str) -> tuple[str, int]:
        asked = launching.Settling("news", sent, "Ann rang them", [*learners] or None)
        done = ask(unsure, launching.settle, asked)
        adds_up(unsure)
        unsure.comes_to_rest()
        return adds_up(unsure).state, done.settled

    assert settle(True, "sure", "fine") == ("finished", 1)
    assert settle(False) == ("finished with failures", 1)
    with pytest.raises(Conflict, match="nobody is uncertain"):
        settle(False)
    counts = adds_up(unsure)
    assert (counts.accepted, counts.failed, counts.uncertain) == (2, 1, 0)
    shown = ask(unsure, announcements.show, announcements.OneAnnouncement("news"))
    assert [(one.move, one.why) for one in shown.history[-4:]] == [
        ("settle as sent", "Ann rang them"),
        ("finish", None),
        ("settle as not sent", "Ann rang them"),
        ("finish with failures", None),
    ]
    asked = announcements.RecipientsPage("news", Delivery.FAILED)
    (failed,) = ask(unsure, announcements.recipients, asked).items
    assert [one.answer for one in failed.attempts] == ["ambiguous", "by hand"]

    ask(unsure, launching.retry, launching.Retry("news"))
    unsure.comes_to_rest()

    assert unsure.mail.recipients == ["unsure@acme.example"]
    assert adds_up(unsure).state == "finished"
    assert [one["uncertain"] for one in unsure.out("announcement.finished")] == [2, 1, 0, 0]


def test_r18_recipients_are_searched_for_as_learners_are(unsure: World) -> None:
    def found(words: str, state: Delivery | None = None) -> list[str]:
        page = ask(unsure, announcements.recipients, announcements.RecipientsPage("news", state, search=words))
        assert page.next is None
        return [one.learner for one in page.items]

    unsure.has_learners("later")
    assert found("SURE") == ["sure", "unsure"]
    assert found("fine", Delivery.UNCERTAIN) == []
    assert found("lastfine acme.example", Delivery.ACCEPTED) == ["fine"]
    assert found("later") == []
    first = ask(unsure, announcements.recipients, announcements.RecipientsPage("news", search="sure", limit=1))
    asked = announcements.RecipientsPage("news", search="sure", limit=1, after=first.next)
    assert [one.learner for one in ask(unsure, announcements.recipients, asked).items] == ["unsure"]
