"""What the API does: learners, access, courses, enrolments, segments."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any

import pytest

from tasks.accounts import Role
from tests.api.conftest import Client, Served


def all_pages(client: Client, path: str, **query: object) -> list[Any]:
    """Every item of a list, page by page."""
    found: list[Any] = []
    after: dict[str, object] = {}
    while True:
        answer = client.get(path, **query, **after)
        assert answer.status == HTTPStatus.OK, answer.body
        found += answer.json["items"]
        if answer.json["next"] is None:
            return found
        after = {"after": answer.json["next"]}


def test_r04_r03_the_toggle_is_in_effect_when_it_is_answered(api: Served) -> None:
    api.world.has_learners("A")
    api.world.has_course("safety", "everyone")
    admin = api.client()

    off = admin.post("learners/A/deactivate")
    without = admin.get("access", learner="A", course="safety")
    on = admin.post("learners/A/activate")
    again = admin.post("learners/A/activate")
    with_it = admin.get("access", learner="A", course="safety")

    assert (off.status, off.json) == (200, {"learner": "A", "status": "inactive", "changed": True})
    assert without.json == {"access": False, "because": ["active"]}
    assert (on.json["changed"], again.json["changed"]) == (True, False)
    assert with_it.json == {"access": True, "because": ["active", "enrolled", "not withdrawn", "not on hold"]}


def test_r03_access_says_what_is_missing(api: Served) -> None:
    api.world.has_learners("A", "B")
    api.world.has_course("held", "everyone", on_hold=True)
    api.world.has_course("other")
    api.world.has_course("left")
    api.world.asks_to_enrol("left", "A")
    api.world.withdraws("left", "A")
    reader = api.client(Role.READER)

    asked = {course: reader.get("access", learner="A", course=course).json for course in ("held", "other", "left")}
    pairs = reader.post("access", {"learners": ["A", "nobody"], "courses": ["held", "left", "unknown"]}).json

    assert asked == {
        "held": {"access": False, "because": ["not on hold"]},
        "other": {"access": False, "because": ["enrolled"]},
        "left": {"access": False, "because": ["not withdrawn"]},
    }
    assert [(pair["learner"], pair["course"], pair["because"]) for pair in pairs] == [
        ("A", "held", ["not on hold"]),
        ("A", "left", ["not withdrawn"]),
        ("A", "unknown", ["known"]),
        ("nobody", "held", ["known", "not on hold"]),
        ("nobody", "left", ["known"]),
        ("nobody", "unknown", ["known"]),
    ]


def test_access_of_what_is_not_there_is_not_found(api: Served) -> None:
    api.world.has_learners("A")
    api.world.has_course("safety")
    admin = api.client()

    nobody, nothing = admin.get("access", learner="x", course="safety"), admin.get("access", learner="A", course="x")

    assert (nobody.status, nobody.json["detail"]) == (404, "There is no learner 'x' in the organisation 'acme'.")
    assert (nothing.status, nothing.json["detail"]) == (404, "There is no course 'x' in the organisation 'acme'.")


def test_a_thousand_pairs_are_answered_and_no_more(api: Served) -> None:
    api.world.has_learners("A")
    admin = api.client()
    ids = [f"l{n}" for n in range(500)]

    assert len(admin.post("access", {"learners": ids, "courses": ["a", "b"]}).json) == 1000
    refused = admin.post("access", {"learners": ids, "courses": ["a", "b", "c"]})

    assert (refused.status, refused.pointers) == (422, ["/learners"])


def test_the_tabs_are_listed_page_by_page(api: Served) -> None:
    ids = [f"l{n:03}" for n in range(25)]
    api.world.has_learners(*ids)
    api.world.becomes("inactive", *ids[::5])
    api.world.say("learner.deleted", learner=ids[1])
    reader = api.client(Role.READER)
    left = [id_ for id_ in ids if id_ != ids[1]]

    def listed(**query: object) -> list[str]:
        return [item["learner"] for item in all_pages(reader, "learners", limit=4, **query)]

    assert listed(tab="all") == left
    assert listed(tab="inactive") == ids[::5]
    assert listed() == [id_ for id_ in left if id_ not in ids[::5]]


def test_a_search_finds_part_of_an_id_username_address_or_name(api: Served) -> None:
    api.world.has_learners("a1", first_name="Zoë", last_name="de Vries", email="zoe@ex.example", username="zv")
    api.world.has_learners("b2", first_name="Bob", last_name="Jones", email=None, username="bjones")
    api.world.has_segment("s", "b2")
    reader = api.client(Role.READER)

    def found(search: str, **query: object) -> list[str]:
        return [item["learner"] for item in all_pages(reader, "learners", search=search, **query)]

    assert found("ZOË DE V") == found("oe@ex") == found("a1") == found("ZV") == ["a1"]
    assert found("jones") == found("b2") == ["b2"]
    assert found("%") == found("_") == found("nobody") == found("vries\nzoe") == []
    assert found("e", segment="s") == ["b2"]
    assert found("zv", segment="s") == []


def test_a_page_looks_at_so_many_learners_and_the_next_goes_on(api: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.acts.learners.SCANNED", 1)
    monkeypatch.setattr("tasks.acts.learners.SEARCHED", 2)
    ids = [f"l{n}" for n in range(10)]
    api.world.has_learners(*ids)
    api.world.becomes("inactive", "l9", "l4")
    api.world.has_segment("s", *ids[3:])
    reader = api.client(Role.READER)

    first, whole = reader.get("learners", tab="inactive", segment="s").json, reader.get("learners", tab="inactive").json

    assert (first["items"], first["next"] is None) == ([], False)
    assert ([item["learner"] for item in whole["items"]], whole["next"]) == (["l4", "l9"], None)
    assert [item["learner"] for item in all_pages(reader, "learners", tab="inactive", segment="s")] == ["l4", "l9"]
    assert [item["learner"] for item in all_pages(reader, "learners", tab="inactive")] == ["l4", "l9"]
    assert [item["learner"] for item in all_pages(reader, "learners", tab="all", search="l9")] == ["l9"]
    assert [item["learner"] for item in all_pages(reader, "learners", tab="all", segment="s", search="l8")] == ["l8"]


def test_r14_a_request_answers_its_counts(api: Served) -> None:
    api.world.has_learners("A", "B", "C")
    api.world.becomes("inactive", "B")
    api.world.has_course("safety")
    api.world.asks_to_enrol("safety", "C")
    admin = api.client()

    answer = admin.post("courses/safety/enrolments", {"learners": ["A", "B", "C", "nobody"], "tab": "all"})

    assert answer.status == HTTPStatus.OK
    assert {name: n for name, n in answer.json.items() if name != "request"} == {
        "course": "safety",
        "selected": 4,
        "enrolled": 1,
        "silent": 1,
        "already": 1,
        "not_eligible": {"unknown": 1},
    }
    assert api.world.access("A") == {"safety"}
    api.world.settle()
    (_, finished) = api.world.out("enrolment.finished")
    assert answer.json == finished


def test_r10_a_withdrawal_takes_effect_at_once(api: Served) -> None:
    api.world.has_learners("A")
    api.world.has_course("safety", "everyone")

    answer = api.client().ask("DELETE", "courses/safety/enrolments", {"learners": ["A"]})

    assert (answer.status, answer.json) == (200, {"course": "safety", "learners": ["A"], "cycle": None})
    assert api.world.access("A") == set()


def test_r07_r10_a_method_enrols_and_says_what_the_course_is_now(api: Served) -> None:
    api.world.has_learners("A", "B")
    api.world.has_segment("s", "A")
    api.world.has_course("safety")
    admin = api.client()
    shown = admin.get("courses/safety")

    body = {"method": "segments", "segments": ["s"]}
    changed = admin.ask("PUT", "courses/safety/method", body, If_Match=shown.headers["etag"])
    stale = admin.ask("PUT", "courses/safety/method", body, If_Match=shown.headers["etag"])
    now = admin.get("courses/safety")

    assert (changed.status, changed.json["method"], changed.json["segments"]) == (200, "segments", ["s"])
    assert stale.status == HTTPStatus.PRECONDITION_FAILED
    assert (now.json, now.headers["etag"]) == (changed.json, changed.headers["etag"])
    assert (api.world.access("A"), api.world.access("B")) == ({"safety"}, set())
    assert [course["course"] for course in all_pages(admin, "courses")] == ["safety"]


def test_of_two_who_saw_the_same_one_changes_it(api: Served) -> None:
    api.world.has_course("safety")
    admin = api.client()
    tag = admin.get("courses/safety").headers["etag"]

    def change(method: str) -> int:
        body = {"method": method, "segments": []}
        return admin.ask("PUT", "courses/safety/method", body, If_Match=tag).status

    with ThreadPoolExecutor(4) as pool:
        statuses = list(pool.map(change, ["everyone", "segments", "everyone", "segments"]))

    assert statuses.count(200) == 1
    assert {*statuses} <= {200, 412, 503}  # who waits for long is told to come again


def test_a_method_over_many_goes_on_and_its_document_says_how_far_it_is(serve: Callable[..., Served]) -> None:
    api = serve(rollcall_chunk=4)
    ids = [f"l{n}" for n in range(9)]
    api.world.has_learners(*ids)
    api.world.has_course("safety")
    api.world.has_course("request")
    admin = api.client()

    rule = admin.ask("PUT", "courses/safety/method", {"method": "everyone", "segments": []})
    request = admin.post("courses/request/enrolments", {"learners": ids, "tab": "all"})
    document = urlless(request.headers["location"], admin)
    before = admin.get(document).json
    api.world.settle()

    assert (rule.status, request.status) == (202, 202)
    assert rule.json["total"] == request.json["total"] == len(ids)
    assert before == {"state": "running", "done": 0, "total": len(ids), "result": None}
    after = admin.get(document).json
    assert (after["state"], after["done"], after["result"]["enrolled"]) == ("done", len(ids), len(ids))
    assert admin.get(urlless(rule.headers["location"], admin)).json["state"] == "done"


def urlless(location: str, client: Client) -> str:
    """A path of the API, out of a whole address."""
    assert location.startswith(f"{client.public_url}/api/v1/")
    return location.removeprefix(f"{client.public_url}/api/v1")


def test_r09_segments_are_saved_joined_and_left(api: Served) -> None:
    api.world.has_learners("A", "B")
    admin = api.client()

    made = admin.ask("PUT", "segments/s", {"name": "Nurses"})
    api.world.has_course("safety", "segments", segments=["s"], at=api.world.clock)
    joined = admin.post("segments/s/members", {"learners": ["A", "B", "A"]})
    access = api.world.access("A")
    left = admin.ask("DELETE", "segments/s/members", {"learners": ["A"]})
    again = admin.post("segments/s/members", {"learners": ["B"]})

    assert (made.status, made.json["name"]) == (200, "Nurses")
    assert (joined.status, joined.json) == (200, {"segment": "s", "learners": ["A", "B"], "changed": 2})
    assert (left.json["changed"], again.json["changed"]) == (1, 0)
    assert (access, api.world.access("A"), api.world.access("B")) == ({"safety"}, set(), {"safety"})
    assert [one["segment"] for one in all_pages(admin, "segments", limit=1)] == ["s"]
    assert admin.get("segments/s").json == made.json


def test_what_is_done_is_in_the_audit_log_with_its_door_and_address(api: Served) -> None:
    api.world.has_learners("A")

    api.client().post("learners/A/deactivate")
    api.client(Role.READER).post("learners/A/activate")

    assert api.world.rows(
        "SELECT who, door, address, act, subject, outcome FROM audit WHERE door = 'api' ORDER BY id"
    ) == [
        ("admin-", "api", "127.0.0.1", "learners.deactivate", "A", "begun"),
        ("admin-", "api", "127.0.0.1", "learners.deactivate", "A", "done"),
        ("reader-", "api", "127.0.0.1", "learners.activate", None, "refused: Forbidden"),
    ]
    sources = "SELECT DISTINCT source FROM arrivals WHERE source LIKE 'rollcall:%'"
    assert api.world.list(sources) == ["rollcall:api"]
