"""What follows from each line of a file as from an event: R1, R5, R6, R7, R12, S1, S13, S15."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.learners.importing import HEADER, imported, line, standings
from tests.world import World


def test_r07_the_standing_rules_enrol_whom_a_file_brings_silently_where_inactive(world: World) -> None:
    world.has_course("safety", "everyone")
    world.has_course("held", "everyone", on_hold=True)
    world.has_course("manual")

    imported(world, HEADER + line("A") + line("B", "Suspended") + line("C", email=None))
    world.settle()

    assert world.access("A") == {"safety"}
    assert world.enrolments("A").keys() == {"safety", "held"}
    assert world.enrolments("B")["safety"].silent
    assert world.access("B") == set()
    assert world.mail.recipients == ["a@acme.example"]
    assert {event["course"]: (event["enrolled"], event["silent"]) for event in world.out("enrolment.changed")} == {
        "safety": (["A", "C"], ["B"]),
        "held": (["A", "C"], ["B"]),
    }


def test_r07_a_segment_that_came_first_enrols_its_members_when_they_are_imported(world: World) -> None:
    world.has_segment("nurses", "A", "B")
    world.has_course("hygiene", "segments", segments=["nurses"])

    result = imported(world, HEADER + line("A") + line("B", "Suspended") + line("C"))
    world.settle()

    assert result.new == 3
    assert (world.access("A"), world.enrolments("B")["hygiene"].silent, world.enrolments("C")) == (
        {"hygiene"}, True, {},
    )  # fmt: skip


def test_r12_an_import_may_leave_out_the_notices(world: World) -> None:
    world.has_course("safety", "everyone")

    imported(world, HEADER + line("A"), notify=False)
    world.settle()

    assert world.access("A") == {"safety"}
    assert world.mail.taken == []


def test_r12_newcomers_are_told_in_one_mail_each_of_all_courses(world: World) -> None:
    world.has_course("safety", "everyone")
    world.has_course("hygiene", "everyone")

    imported(world, HEADER + line("A") + line("B"))
    world.settle()

    assert sorted(world.mail.recipients) == ["a@acme.example", "b@acme.example"]


def test_r04_r05_a_status_that_changes_is_what_it_is_by_event(world: World) -> None:
    world.has_learners("away", "user", email=None, status="inactive")
    world.has_learners("mail", status="inactive")
    world.has_learners("here")
    world.has_course("safety", "everyone")
    world.settle()

    result = imported(
        world,
        HEADER + line("away", email=None) + line("user", email=None) + line("mail") + line("here", "Long Term Leave"),
    )
    world.settle()

    assert (result.activated, result.deactivated, result.changed) == (3, 1, 4)
    assert [world.access(id_) for id_ in ("away", "mail", "here")] == [{"safety"}, {"safety"}, set()]
    assert world.out("access.activated") == [
        {"learner": id_, "courses": ["safety"]} for id_ in ("away", "user", "mail")
    ]
    assert world.out("access.suspended") == [{"learner": "here"}]
    assert {event["learner"] for event in world.out("learner.password_void")} == {"away", "user"}
    [message] = world.mail.to("admin@acme.example")
    text = message.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert "user-away" in text
    assert "user-user" in text


@pytest.mark.parametrize("seconds", [-1, 1])
def test_s01_an_import_holds_against_a_clock_that_is_ahead(world: World, seconds: int) -> None:
    ahead = datetime.now(UTC) + timedelta(seconds=100)
    world.has_learners("A", at=ahead, version=3)
    world.becomes("active", "A", at=ahead + timedelta(seconds=seconds), version=3)

    imported(world, HEADER + line("A", "Suspended").replace("LastA", "Newer"))
    world.has_learners("A", at=ahead, version=3, last_name="Older", status="active")

    assert world.rows("SELECT standing, last_name, version FROM learners") == [("inactive", "Newer", 3)]
    assert world.ask("SELECT status_at(organisation, learner, 'infinity') FROM learners") is False


def test_r06_what_waited_for_a_learner_is_taken_when_they_are_imported(world: World) -> None:
    world.has_course("safety", "everyone")
    world.starts("A", "safety", at=datetime.now(UTC))
    world.starts("B", "safety", at=datetime.now(UTC) + timedelta(seconds=60))
    world.becomes("inactive", "C")
    assert len(world.quarantine()) == 3

    imported(world, HEADER + line("A") + line("B", "Suspended"))
    imported(world, "id,login\nC,user-C\n")

    assert [entry.learner for entry in world.ledger()] == ["A"]
    assert {entry.reason for entry in world.quarantine().values()} == {"learner inactive"}
    assert standings(world)["C"] == "inactive"


def test_s13_an_import_that_contradicts_a_charge_flags_it(world: World) -> None:
    world.has_learners("A")
    world.has_course("safety", "everyone")
    soon = datetime.now(UTC) + timedelta(seconds=60)
    world.starts("A", "safety", at=soon)

    imported(world, HEADER + line("A", "Suspended"))

    assert [entry.review for entry in world.ledger()] == ["learner inactive"]


def test_s15_a_learner_who_was_deleted_is_known_again_when_imported(world: World) -> None:
    world.has_learners("A")
    world.has_course("safety", "everyone")
    world.say("learner.deleted", learner="A")

    result = imported(world, HEADER + line("A"))

    assert (result.new, result.activated, standings(world), world.access("A")) == (1, 0, {"A": "active"}, {"safety"})


def test_r31_an_import_touches_no_other_organisation(world: World) -> None:
    world.organisation = "other"
    world.has_organisation()
    world.has_learners("A", "B", last_name="Other")
    world.organisation = "acme"

    imported(world, HEADER + line("A", "Suspended"))

    assert world.rows("SELECT id, standing, last_name, organisation FROM learners ORDER BY 4, 1") == [
        ("A", "inactive", "LastA", 1),
        ("A", "active", "Other", 2),
        ("B", "active", "Other", 2),
    ]


#: Courses that enrol by rule, and a segment.
RULES: list[tuple[str, dict[str, Any]]] = [
    ("segment.saved", {"segment": "nurses", "name": "Nurses"}),
    ("course.saved", {"course": "safety", "title": "Safety", "cost": 1, "method": "everyone"}),
    ("course.saved", {"course": "hygiene", "title": "Hygiene", "method": "segments", "segments": ["nurses"]}),
]

#: What may have happened to a learner before a file says something of them.
PAST = [
    ("learner.status_changed", {"learner": "L", "status": "active"}),
    ("learner.status_changed", {"learner": "L", "status": "inactive", "version": 3}),
    ("learner.saved", {"learner": "L", "username": "login", "email": "l@acme.example", "last_name": "Last"}),
    ("learner.saved", {"learner": "L", "username": "login", "last_name": "Last", "status": "active", "version": 2}),
    ("learner.saved", {"learner": "L", "username": "login", "last_name": "Last", "status": "inactive", "version": 4}),
    ("segment.joined", {"segment": "nurses", "learners": ["L"]}),
    ("segment.left", {"segment": "nurses", "learners": ["L"]}),
    ("course.started", {"learner": "L", "course": "safety"}),
    ("enrolment.withdrawn", {"learners": ["L"], "course": "safety"}),
]


@given(
    story=st.lists(st.sampled_from(PAST), max_size=6),
    status=st.sampled_from(["Active", "Suspended", None]),
    email=st.sampled_from([None, "l@acme.example"]),
    last_name=st.sampled_from(["Last", "Newer"]),
)
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
def test_r02_r06_a_line_is_what_an_event_would_be(
    world: World, story: list[tuple[str, dict[str, Any]]], status: str | None, email: str | None, last_name: str
) -> None:
    """Two organisations with the same past: one imports a line, the other is sent the same as an event."""
    number = world.ask("SELECT count(*) FROM organisations")
    pair = [f"imports-{number}", f"told-{number}"]
    begun = world.clock
    for world.organisation in pair:
        world.clock = begun
        world.has_organisation(reactivation_digest=True)
        world.send(*(world.event(type_, data) for type_, data in [*RULES, *story]))
    known = world.rows(_SEEN, organisation=pair[0])
    columns = {"id": "L", "username": "login", "email": email or "", "last name": last_name, "status": status}
    given = {name: cell for name, cell in columns.items() if cell is not None}
    result = imported(world, f"{','.join(given)}\n{','.join(given.values())}\n", organisation=pair[0])
    if result.unchanged:
        assert world.rows(_SEEN, organisation=pair[0]) == known
        return
    told: dict[str, Any] = {"learner": "L", "username": "login", "email": email, "last_name": last_name}
    if status is not None:
        told["status"] = "active" if status == "Active" else "inactive"
    world.send(world.event("learner.saved", told, at=datetime.now(UTC), organisation=pair[1]))

    ours, theirs = (world.rows(_SEEN, organisation=each) for each in pair)
    assert ours == theirs
    assert result.read == result.new + result.changed == 1


#: All there is to see of an organisation's one learner; of what happened just now, not when and not by which event.
_SEEN = """
WITH mine AS (SELECT * FROM organisations WHERE id = :organisation),
recent AS (SELECT now() - interval '1 hour' AS since)
SELECT 'learner', to_jsonb(l) - 'organisation' - 'saved_at' FROM learners l JOIN mine USING (organisation)
UNION ALL
SELECT 'status', jsonb_build_array(s.version, s.active, CASE WHEN occurred_at < since THEN occurred_at END)
FROM status_changes s JOIN mine USING (organisation), recent
UNION ALL
SELECT 'enrolment', jsonb_build_array(c.id, e.silent, e.withdrawn_by, e.started_at, e.review, e.notice IS NOT NULL,
                                      e.activated_at > since, e.enrolled_at > since)
FROM enrolments e JOIN mine USING (organisation) JOIN courses c USING (organisation, course), recent
UNION ALL
SELECT 'charge', jsonb_build_array(c.amount, c.occurred_at, r.code)
FROM consumptions c JOIN mine USING (organisation) LEFT JOIN reviews r USING (organisation, consumption)
UNION ALL
SELECT 'mail', jsonb_build_array(m.kind, m.learners, d.recipient, d.state, d.reason)
FROM deliveries d JOIN mine USING (organisation) JOIN mailings m USING (organisation, mailing)
UNION ALL
SELECT 'work', jsonb_build_array(w.queue, w.actor, w.low, w.high) FROM work w JOIN mine USING (organisation)
UNION ALL
SELECT 'said', jsonb_build_array(o.type, CAST(o.data AS jsonb) - CAST('{consumption,event,_organisation}' AS text[]))
FROM outbox o JOIN mine USING (organisation)
UNION ALL
SELECT 'held', jsonb_build_array(i.type, i.state, i.reason) FROM inbox i JOIN mine ON mine.id = i.organisation
WHERE i.state <> 'applied'
ORDER BY 1, 2
"""


def test_r12_nobody_is_in_two_pieces_of_one_mailing(world: World) -> None:
    world.has_course("old")
    world.withdraws("old", "mentioned")
    world.has_learners("deleted")
    world.say("learner.deleted", learner="deleted")
    world.has_course("safety", "everyone")

    imported(world, HEADER + "".join(line(id_) for id_ in ("mentioned", "deleted", *(f"N{n}" for n in range(9)))))

    pieces = world.rows("SELECT subject, low, high FROM work WHERE actor = 'mail.deliver' ORDER BY subject, low")
    assert len({subject for subject, _, _ in pieces}) == len(pieces) == 2
    world.settle()
    assert len(world.mail.recipients) == len(set(world.mail.recipients)) == 11
