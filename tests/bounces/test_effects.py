"""What a report does, from the mail that went out to the announcement that is held back: R21, R31, R32, S15."""

import itertools
import threading

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from config.counting import counts
from config.database import lock_organisations
from tasks import cells
from tasks.bounces import Arrived, BounceKind, Ignored, record_bounce
from tasks.cells import Elsewhere
from tasks.mail import ReturnPaths
from tests.bounces import reports
from tests.bounces.conftest import Desk
from tests.bounces.reports import Came
from tests.isolation.neighbours import OURS, THEIRS, belongings, furnish
from tests.world import World

A = "a@acme.example"

HARD = {"status": "5.1.1"}
SOFT = {"status": "4.2.2", "diagnostic": "smtp; 452 4.2.2 full"}
BLOCKED = {"status": "5.7.1", "diagnostic": "smtp; 550 5.7.1 spam"}


def announced(world: World, id_: str) -> str:
    """Send an announcement that A's server takes; the envelope sender it went out with."""
    world.announces(id_)
    world.settle()
    return world.mail.senders[A][-1]


def returned(world: World, came: Came, to: str) -> BounceKind | Ignored:
    """A message comes back."""
    found = world.runtime.endpoints
    returns = ReturnPaths(found.bounce_address, found.secret_key)
    return record_bounce(world.runtime, returns, Arrived(came.sender, to, came.message))


def bounces(world: World, to: str, said: dict[str, str]) -> BounceKind | Ignored:
    """A delivery report comes back."""
    return returned(world, reports.postfix(to, A, **said), to)


def suppressions(world: World) -> list[tuple[str, str, str | None]]:
    return [(row[0], row[1], row[2]) for row in world.rows("SELECT address, reason, why FROM suppressions")]


def held_back(world: World, announcement: str) -> dict[str, int]:
    return world.progress(announcement).skipped


@pytest.mark.parametrize("system", [reports.postfix, reports.exim, reports.exchange, reports.gmail, reports.ses])
def test_r21_a_permanent_bounce_suppresses_the_address_and_the_next_announcement_says_so(
    world: World, lmtp: Desk, system: reports.System
) -> None:
    world.has_learners("A", "B")
    sender = announced(world, "first")
    assert sender.endswith("@bounces.rollcall.example")
    assert sender != world.mail.senders["b@acme.example"][-1]

    assert lmtp.gives(system(sender, A), sender) == 250
    announced(world, "second")

    assert [address for address, _, _ in suppressions(world)] == [A]
    assert held_back(world, "second") == {"suppressed": 1}
    assert world.mail.recipients == [A, "b@acme.example", "b@acme.example"]
    assert world.progress("first").accepted == 2, "what the server said stays what it said"


def test_r19_the_envelope_sender_is_the_same_at_each_attempt(world: World) -> None:
    world.has_learners("A")
    world.mail.on_recipient = lambda _address, times: "451 later" if times < 3 else None
    world.announces()

    world.comes_to_rest()

    assert len(world.mail.senders[A]) == 4
    assert len(set(world.mail.senders[A])) == 1


def test_r21_a_bounce_about_us_or_the_message_suppresses_nobody(world: World) -> None:
    world.has_learners("A")
    for number in range(6):
        assert bounces(world, announced(world, f"n{number}"), BLOCKED) is BounceKind.BLOCKED

    assert suppressions(world) == []
    assert world.list("SELECT CAST(kind AS text) FROM bounces") == ["blocked"] * 6


def test_r21_operators_see_of_which_mailing_each_bounce_was_and_count_those_that_were_taken(world: World) -> None:
    world.has_learners("A")
    sender = announced(world, "first")
    counts.take()

    with capture_logs() as lines:
        assert bounces(world, sender, HARD) is BounceKind.HARD
        assert bounces(world, sender, HARD) is Ignored.KNOWN
        assert bounces(world, "nobody@acme.example", HARD) is Ignored.UNMATCHED
        assert returned(world, reports.out_of_office(A, A), sender) is Ignored.AUTO_REPLY

    [mailing] = world.list("SELECT mailing FROM mailings")
    assert [(line["event"], line["outcome"], line["organisation"], line["mailing"]) for line in lines] == [
        ("bounces.taken", "hard", 1, mailing),
        ("bounces.ignored", Ignored.KNOWN.value, 1, mailing),
        ("bounces.ignored", Ignored.UNMATCHED.value, None, None),
        ("bounces.ignored", Ignored.AUTO_REPLY.value, 1, mailing),
    ]
    assert [(name, n) for name, n in counts.take().items() if "bounces" in name] == [
        ('rollcall_bounces_total{kind="hard"}', 1)
    ]


@pytest.mark.parametrize("complains", [True, False])
def test_r31_a_report_waits_for_whoever_is_changing_what_is_known_of_its_organisation(
    world: World, complains: bool
) -> None:
    world.has_learners("A")
    sender = announced(world, "first")
    came = complaint_of_microsoft(world, feedback=True) if complains else reports.postfix(sender, A, **HARD)
    to = world.runtime.endpoints.bounce_address if complains else sender
    thread = threading.Thread(target=returned, args=[world, came, to])
    done = "SELECT (SELECT count(*) FROM suppressions) + (SELECT count(*) FROM unsubscribed)"

    with world.about() as (connection, organisation):
        lock_organisations(connection, [organisation.organisation])
        thread.start()
        while thread.is_alive() and not world.waiting():
            pass
        assert thread.is_alive()
        assert world.ask(done) == 0
    thread.join()

    assert world.ask(done) == 1


def test_r21_the_fifth_soft_bounce_in_a_row_suppresses(world: World) -> None:
    world.has_learners("A")
    for number in range(5):
        assert suppressions(world) == []
        bounces(world, announced(world, f"n{number}"), SOFT)

    assert suppressions(world) == [(A, "five soft bounces", "4.2.2")]


def test_r21_a_delivery_that_did_not_bounce_ends_the_row(world: World) -> None:
    world.has_learners("A")
    senders = [announced(world, f"n{number}") for number in range(7)]
    for sender in (*senders[:4], *senders[5:]):
        bounces(world, sender, SOFT)
    assert suppressions(world) == []

    bounces(world, senders[4], SOFT)

    assert suppressions(world) == [(A, "five soft bounces", "4.2.2")]


def test_r21_a_delivery_that_was_blocked_does_not_end_the_row(world: World) -> None:
    world.has_learners("A")
    senders = [announced(world, f"n{number}") for number in range(6)]
    for sender in (*senders[:3], *senders[4:]):
        bounces(world, sender, SOFT)
    assert suppressions(world) == []

    bounces(world, senders[3], BLOCKED)

    assert [reason for _, reason, _ in suppressions(world)] == ["five soft bounces"]


def test_r32_a_report_has_the_effect_of_one_however_often_it_comes(world: World) -> None:
    world.has_learners("A")
    sender = announced(world, "first")

    assert bounces(world, sender, SOFT) is BounceKind.SOFT
    assert [bounces(world, sender, SOFT) for _ in range(9)] == [Ignored.KNOWN] * 9

    assert suppressions(world) == []
    assert world.ask("SELECT count(*) FROM bounces") == 1


def test_r32_of_one_delivery_the_strongest_report_holds_in_any_order(world: World) -> None:
    world.has_learners("A")
    for number, order in enumerate(itertools.permutations([SOFT, BLOCKED, HARD])):
        world.execute("DELETE FROM suppressions")
        sender = announced(world, f"n{number}")
        for said in order:
            bounces(world, sender, said)
        assert suppressions(world) == [(A, "hard bounce", "5.1.1")]
    assert world.list("SELECT DISTINCT status FROM bounces") == ["5.1.1"]


@given(st.lists(st.sampled_from([None, SOFT, BLOCKED]), min_size=5, max_size=8), st.data())
@settings(max_examples=7, phases=[Phase.generate], suppress_health_check=[*HealthCheck])  # a test is worth a second
def test_r21_r32_reports_in_any_order_and_any_number_come_to_the_same(
    world: World, fates: list[dict[str, str] | None], data: st.DataObject
) -> None:
    for table in ("bounces", "suppressions", "deliveries", "mailings"):
        world.execute(f"DELETE FROM {table}")
    world.has_learners("A")
    came = [(announced(world, f"n{n}"), fate) for n, fate in enumerate(fates)]
    repeated = [(sender, fate) for sender, fate in came if fate for _ in range(data.draw(st.integers(1, 2)))]

    for sender, fate in data.draw(st.permutations(repeated)):
        bounces(world, sender, fate)

    letters = "".join("." if fate is None else "x" for fate in fates if fate is not BLOCKED)
    assert bool(suppressions(world)) == ("xxxxx" in letters)


def test_r21_a_bounce_of_an_address_that_changed_suppresses_neither(world: World) -> None:
    world.has_learners("A")
    sender = announced(world, "first")
    world.has_learners("A", email="new@acme.example")

    assert bounces(world, sender, HARD) is BounceKind.HARD

    assert suppressions(world) == []


def test_a_complaint_ends_announcements_and_leaves_notices(world: World, desk: Desk) -> None:
    world.has_learners("A")
    sender = announced(world, "first")

    assert desk.gives(reports.complaint(sender, A), sender) == 250
    announced(world, "second")
    world.has_course("safety", "everyone")
    world.settle()

    assert held_back(world, "second") == {"unsubscribed": 1}
    assert suppressions(world) == []
    assert [mail["Feedback-ID"].split(":")[2] for mail in world.mail.to(A)] == ["announcement", "enrolment"]


def test_a_complaint_of_a_notice_ends_all_mail(world: World) -> None:
    world.has_learners("A")
    world.has_course("safety", "everyone")
    world.settle()
    (sender,) = world.mail.senders[A]

    assert returned(world, reports.complaint(sender, A), sender) is BounceKind.COMPLAINT

    assert suppressions(world) == [(A, "complaint", None)]
    assert world.ask("SELECT count(*) FROM unsubscribed") == 0


def test_a_complaint_sent_to_the_bounce_address_is_known_by_the_sender_it_quotes(world: World, lmtp: Desk) -> None:
    world.has_learners("A")
    sender = announced(world, "first")
    returned_only = reports.complaint(sender, A)
    without = Came(returned_only.message.replace(f"Original-Mail-From: <{sender}>\r\n".encode(), b""), "f@isp.example")

    assert lmtp.gives(without, world.runtime.endpoints.bounce_address) == 250

    assert world.ask("SELECT count(*) FROM unsubscribed") == 1


def test_a_complaint_that_quotes_what_anybody_can_know_matches_nothing(world: World) -> None:
    world.has_learners("A")
    announced(world, "first")
    (mail,) = world.mail.to(A)
    told = reports.complaint("learning@rollcall.example", A)
    told = Came(told.message.replace(b"<0123456789@rollcall.example>", mail["Message-ID"].encode()), told.sender)

    assert returned(world, told, "bounces@bounces.rollcall.example") is Ignored.UNMATCHED

    assert world.ask("SELECT count(*) FROM unsubscribed") == world.ask("SELECT count(*) FROM bounces") == 0


def test_a_delivery_report_to_the_bounce_address_itself_matches_nothing(world: World) -> None:
    world.has_learners("A")
    report = reports.postfix(announced(world, "first"), A)
    (mail,) = world.mail.to(A)
    link = b"List-Unsubscribe: " + mail["List-Unsubscribe"].encode()
    with_link = Came(report.message.replace(b"Subject: About news", link))
    assert link in with_link.message

    for came in (report, with_link):
        assert returned(world, came, "bounces@bounces.rollcall.example") is Ignored.UNMATCHED

    assert suppressions(world) == []
    assert world.ask("SELECT count(*) FROM unsubscribed") == 0


@pytest.mark.parametrize(
    ("came", "outcome"),
    [
        (reports.out_of_office(A, A), Ignored.AUTO_REPLY),
        (reports.postfix(A, A, action="delayed"), Ignored.NO_FAILURE),
        (reports.postfix(A, A, action="relayed"), Ignored.NO_FAILURE),
        (reports.complaint(A, A, feedback="not-spam"), Ignored.OTHER_FEEDBACK),
        (Came(b"Hello?", "jan@school.example"), Ignored.NO_REPORT),
        (Came(b""), Ignored.AUTO_REPLY),
        (Came(b"\x00\xff" * 1000), Ignored.AUTO_REPLY),
    ],
)
def test_what_is_no_report_is_taken_and_does_nothing(world: World, lmtp: Desk, came: Came, outcome: Ignored) -> None:
    world.has_learners("A")
    sender = announced(world, "first")

    assert lmtp.gives(came, sender) == 250
    assert returned(world, came, sender) is outcome

    assert suppressions(world) == []
    assert world.ask("SELECT count(*) FROM bounces") == 0


def test_an_admins_address_bounces_as_a_learners_does(world: World) -> None:
    world.has_learners("A", email=None, username="a")
    world.becomes("inactive", "A")
    world.becomes("active", "A")
    world.settle()
    (sender,) = world.mail.senders["admin@acme.example"]

    assert returned(world, reports.postfix(sender, "admin@acme.example"), sender) is BounceKind.HARD

    assert suppressions(world) == [("admin@acme.example", "hard bounce", "5.1.1")]


def test_r31_a_report_touches_its_own_organisation_alone(world: World) -> None:
    furnish(world, THEIRS)
    furnish(world, OURS)
    for organisation in (THEIRS, OURS):
        world.send(
            world.event("learner.saved", world.learner("S", email="same@school.example"), organisation=organisation)
        )
    world.settle()
    world.announces("ours")
    world.settle()
    before = belongings(world, THEIRS)
    sender = world.mail.senders["same@school.example"][-1]

    assert returned(world, reports.postfix(sender, "same@school.example"), sender) is BounceKind.HARD
    assert returned(world, reports.complaint(sender, "same@school.example"), sender) is BounceKind.COMPLAINT

    assert belongings(world, THEIRS) == before
    assert suppressions(world) == [("same@school.example", "hard bounce", "5.1.1")]


def test_s15_what_came_back_goes_with_the_learner_and_nothing_comes_after(world: World) -> None:
    world.has_learners("A")
    sender = announced(world, "first")
    bounces(world, sender, HARD | {"diagnostic": "smtp; 550 5.1.1 a is gone"})
    later = reports.complaint(sender, A)

    world.say("learner.deleted", learner="A")
    world.comes_to_rest()

    assert returned(world, later, sender) is Ignored.UNMATCHED
    for table in ("bounces", "suppressions", "lifted_suppressions", "unsubscribed"):
        assert world.ask(f"SELECT count(*) FROM {table}") == 0, table


def test_r19_a_report_about_a_mail_that_nobody_knows_was_sent_counts(world: World) -> None:
    world.has_learners("A")
    sender = announced(world, "first")
    world.execute("UPDATE deliveries SET state = 'uncertain', code = NULL, reply = NULL")

    assert bounces(world, sender, HARD) is BounceKind.HARD

    assert [address for address, _, _ in suppressions(world)] == [A]
    assert world.list("SELECT CAST(state AS text) FROM deliveries") == ["uncertain"]


def complaint_of_microsoft(world: World, *, feedback: bool, token: bytes | None = None) -> Came:
    """What Microsoft's programme for senders passes on of the mail that A got last: no envelope sender; in fields, or
    the mail alone."""
    mail = world.mail.to(A)[-1].as_bytes()
    if token is not None:
        mail = mail.replace(b"/unsubscribe/", b"/unsubscribe/" + token)
    report = b"--X\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\nVersion: 1\r\n\r\n"
    head = b"From: staff@hotmail.example\r\nSubject: complaint about message from 192.0.2.1\r\n"
    kind = b"Content-Type: multipart/mixed; boundary=X\r\n\r\n"
    returned_mail = (
        b"--X\r\nContent-Type: message/rfc822\r\n\r\nX-HmXmrOriginalRecipient: " + A.encode() + b"\r\n" + mail
    )
    return Came(head + kind + (report if feedback else b"") + returned_mail + b"\r\n--X--\r\n", "staff@hotmail.example")


@pytest.mark.parametrize("feedback", [True, False])
def test_a_complaint_without_an_envelope_sender_is_known_by_the_link_to_unsubscribe(
    world: World, feedback: bool
) -> None:
    world.has_learners("A", "B")
    announced(world, "first")
    came = complaint_of_microsoft(world, feedback=feedback)

    assert returned(world, came, world.runtime.endpoints.bounce_address) is BounceKind.COMPLAINT
    assert returned(world, came, world.runtime.endpoints.bounce_address) is BounceKind.COMPLAINT

    announced(world, "second")
    assert held_back(world, "second") == {"unsubscribed": 1}
    assert suppressions(world) == []
    assert world.rows("SELECT CAST(kind AS text), recipient FROM bounces") == [("complaint", 1)]


def test_a_link_to_unsubscribe_that_is_not_ours_proves_nothing(world: World) -> None:
    world.has_learners("A")
    announced(world, "first")
    came = complaint_of_microsoft(world, feedback=True, token=b"x")

    assert returned(world, came, world.runtime.endpoints.bounce_address) is Ignored.UNMATCHED

    assert world.ask("SELECT count(*) FROM unsubscribed") == world.ask("SELECT count(*) FROM bounces") == 0


def test_s15_a_complaint_of_a_learner_who_was_deleted_leaves_nothing(world: World) -> None:
    world.has_learners("A")
    announced(world, "first")
    came = complaint_of_microsoft(world, feedback=True)
    world.say("learner.deleted", learner="A")

    assert returned(world, came, world.runtime.endpoints.bounce_address) is Ignored.UNMATCHED

    assert world.ask("SELECT count(*) FROM unsubscribed") == 0


def test_r32_a_report_about_an_organisation_on_its_way_to_another_cell_is_to_be_sent_again(world: World) -> None:
    world.has_learners("A")
    sender = announced(world, "first")
    complaint = complaint_of_microsoft(world, feedback=True)
    with world.about() as (connection, organisation):
        cells.depart(connection, "acme", organisation.organisation)
    for table in ("deliveries", "learners", "organisations"):
        world.execute(f"DELETE FROM {table}")

    with pytest.raises(Elsewhere):
        bounces(world, sender, HARD)
    with pytest.raises(Elsewhere):
        returned(world, complaint, world.runtime.endpoints.bounce_address)
