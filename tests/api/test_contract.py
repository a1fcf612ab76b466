"""What the contract says of every route: problems, statuses, keys, tags, limits."""

import http.client
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http import HTTPStatus
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from tasks import accounts
from tasks.accounts import PERMISSIONS, Role, Scope
from tasks.acts import every
from tests.api.conftest import ApiAnswer, Client, Served
from tests.workers.deployment import until
from tests.workers.serving import served
from tests.world import World
from workers.web.api import limits
from workers.web.api.doors import Weight
from workers.web.api.limits import Buckets
from workers.web.api.routes import every_route

CANARY = "canary-of-another"


def problem(answer: ApiAnswer) -> tuple[int, str]:
    """The status of a problem and its detail, whole as RFC 9457 has it."""
    assert answer.headers["content-type"] == "application/problem+json"
    said = answer.json
    assert said["status"] == answer.status
    assert said["title"]
    assert said["type"].startswith("http")
    assert said.keys() <= {"type", "title", "status", "detail", "errors"}
    return answer.status, said["detail"]


def test_no_token_and_a_wrong_one_are_401_and_say_how_to_show_one(api: Served) -> None:
    wrong = Client(api.public_url, "rck_" + "A" * 49)

    for answer in (api.client(None).get("learners"), wrong.get("learners"), wrong.post("learners/A/activate")):
        assert problem(answer)[0] == HTTPStatus.UNAUTHORIZED
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_revoked_token_is_refused_within_a_second_or_so(api: Served) -> None:
    admin = api.client()
    assert admin.get("courses").status == HTTPStatus.OK

    api.world.execute("UPDATE tokens SET revoked_at = now()")

    until(lambda: admin.get("courses").status == HTTPStatus.UNAUTHORIZED, "the token is refused")


def test_every_route_allows_what_the_table_allows_and_nothing_else(api: Served) -> None:
    api.world.send(api.world.event("organisation.saved", {"name": CANARY, "licence": "seats"}, organisation="other"))
    clients = {role: api.client(role) for role in Role}
    expected, found = {}, {}

    for route in every_route():
        path = "/" + "/".join({"{organisation}": "{organisation}"}.get(part, part.strip("{}")) for part in route.parts)
        permission = PERMISSIONS[route.act.name]
        for organisation in ("acme", "other", "nothing"):
            if not route.of_organisation and organisation != "acme":
                continue
            for role, client in clients.items():
                answer = client.ask(route.act.method, path.replace("{organisation}", organisation))
                key = (route.act.name, organisation, role)
                found[key] = answer.status if answer.status in {403, 404, 405, 500, 503} else 0
                if found[key] == 404 and organisation == "acme":
                    found[key] = 0  # what it names is not there
                theirs = role is Role.OPERATOR or organisation == "acme" or not route.of_organisation
                allowed = list(Role).index(role) >= list(Role).index(permission.role)
                there = organisation != "nothing"
                expected[key] = 0 if theirs and allowed and there else 403 if theirs and there else 404
                if expected[key] == 0 and organisation == "other" and found[key] == 404:
                    found[key] = 0
                if role is not Role.OPERATOR:
                    assert CANARY.encode() not in answer.body, key
                if not there and role is Role.OPERATOR:
                    expected[key] = found[key]  # what is asked may be refused before anybody looks whether it is there
                    assert answer.status in {404, 415, 422}, key

    assert {key: (found[key], expected[key]) for key in found if found[key] != expected[key]} == {}
    assert {route.act.name for route in every_route()} == every().keys()
    assert all(PERMISSIONS[name].scope in Scope for name in every())


def test_what_the_contract_gives_no_body_needs_none(api: Served) -> None:
    operator = api.client(Role.OPERATOR)
    api.world.has_learners("A")
    operator.post("announcements", {"announcement": "n", "subject": "S", "body": "B", "audience": {"everyone": True}})
    paths = ["learners/A/activate", "learners/A/deactivate", "seats/ledger/1/reviewed"]
    paths += [f"/system/pools/mail/{move}" for move in ("pause", "resume")]
    paths += [f"/system/work/1/{move}" for move in ("retry", "discard")]
    paths += [f"announcements/n/{move}" for move in ("preview", "launch", "pause", "resume", "cancel", "retry")]

    refused = {path: answer.json for path in paths if (answer := operator.post(path)).status == 422}
    assert refused == {}


def test_another_organisation_and_one_that_is_not_there_are_told_the_same(api: Served) -> None:
    api.world.send(api.world.event("organisation.saved", {"name": CANARY, "licence": "seats"}, organisation="other"))
    admin = api.client()

    def told(organisation: str, path: str) -> str:
        answer = admin.get(f"/organisations/{organisation}/{path}", learner="A", course="b")
        return json.dumps([answer.status, answer.json]).replace(organisation, "…")

    for path in ("access", "courses", "learners/A"):
        assert told("other", path) == told("nothing", path)
    assert [one["organisation"] for one in admin.get("/organisations").json["items"]] == ["acme"]
    operator = api.client(Role.OPERATOR)
    assert [one["organisation"] for one in operator.get("/organisations").json["items"]] == ["acme", "other"]


def test_unknown_paths_methods_and_types_of_content(api: Served) -> None:
    admin = api.client()

    assert problem(admin.get("nothing"))[0] == HTTPStatus.NOT_FOUND
    assert problem(admin.get("/organisations/acme/learners/%FF"))[0] == HTTPStatus.NOT_FOUND
    assert problem(admin.get("/organisations/acme/learners/A%0A"))[0] == HTTPStatus.NOT_FOUND
    assert problem(admin.get("/nothing%0A/at"))[0] == HTTPStatus.NOT_FOUND
    not_allowed = admin.ask("PATCH", "learners/A/activate")
    assert problem(not_allowed) == (405, "This path has POST.")
    assert not_allowed.headers["allow"] == "POST"
    form = admin.ask("POST", "learners/status", raw=b"learners=A", Content_Type="application/x-www-form-urlencoded")
    assert problem(form)[0] == HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    large = admin.ask("POST", "learners/status", raw=b" " * 1_000_001)
    assert problem(large)[0] == 413  # its name is another in each version of Python
    assert admin.ask("HEAD", "courses").status == HTTPStatus.OK


#: Bodies of `learners/status`, and what is wrong with them.
BODIES = {
    b"{": [""],
    b"[]": [""],
    b"\xff": [""],
    b'{"learners": "A"}': ["/learners", "/status"],
    b'{"learners": ["A", 7], "status": "active"}': ["/learners/1"],
    b'{"learners": ["A"], "status": "gone"}': ["/status"],
    b'{"learners": ["A"], "status": "active", "a/b~": 1}': ["/a~1b~0"],
    b'{"learners": ["A\\u0000"], "status": "active"}': ["/learners/0"],
    b"[" * 100_000: [""],
}

#: Queries of `learners`, and what is wrong with them.
QUERIES: list[tuple[dict[str, object], list[str]]] = [
    ({"limit": "0"}, ["/limit"]),
    ({"limit": "1001"}, ["/limit"]),
    ({"limit": "ten"}, ["/limit"]),
    ({"tab": "none", "limit": "0"}, ["/tab", "/limit"]),
    ({"serch": "x"}, ["/serch"]),
    ({"limit": ["1", "2"]}, ["/limit"]),
    ({"after": "abc"}, ["/after"]),
    ({"search": "\0"}, ["/search"]),
    ({"limit": "null"}, ["/limit"]),
    ({"tab": "null"}, ["/tab"]),
]


def test_what_is_wrong_is_said_by_pointers(api: Served) -> None:
    admin = api.client()
    bodies = {body: admin.ask("POST", "learners/status", raw=body) for body in BODIES}
    queries = [admin.get("learners", **query) for query, _ in QUERIES]
    null = [admin.get("announcements", state="null"), admin.get("seats/ledger", until="null")]  # a text, and no date

    assert {problem(answer)[0] for answer in [*bodies.values(), *queries, *null]} == {422}
    assert {body: answer.pointers for body, answer in bodies.items()} == BODIES
    assert [answer.pointers for answer in queries] == [pointers for _, pointers in QUERIES]


def test_ids_may_have_any_characters(api: Served) -> None:
    api.world.has_learners("a/b c%2F?#ü")

    answer = api.client().get("learners/a%2Fb%20c%252F%3F%23%C3%BC")

    assert (answer.status, answer.json["learner"]) == (200, "a/b c%2F?#ü")


def test_a_cursor_of_another_list_or_search_is_refused(api: Served) -> None:
    api.world.has_learners("A", "B", "C")
    reader = api.client(Role.READER)
    cursor = reader.get("learners", limit=1).json["next"]

    assert reader.get("learners", limit=1, after=cursor).json["items"][0]["learner"] == "B"
    for path, query in (("learners", {"search": "b"}), ("learners", {"tab": "all"}), ("courses", {})):
        answer = reader.get(path, after=cursor, **query)
        assert (answer.status, answer.pointers) == (422, ["/after"])


def test_a_key_makes_one_act_of_many_requests(api: Served) -> None:
    api.world.has_learners("A")
    api.world.has_course("safety")
    admin, body = api.client(), {"learners": ["A"], "tab": "all"}

    def ask(_: int) -> ApiAnswer:
        return admin.post("courses/safety/enrolments", body, Idempotency_Key="k-1")

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(ask, range(12)))
    done = [answer for answer in answers if answer.status == HTTPStatus.OK]

    assert {answer.status for answer in answers} <= {200, 409}
    assert all(answer.headers["retry-after"] == "1" for answer in answers if answer.status == HTTPStatus.CONFLICT)
    assert len({answer.body for answer in done}) == 1
    assert done[0].json["enrolled"] == 1
    assert api.world.ask("SELECT count(*) FROM fanouts WHERE cause = 'request'") == 1
    assert ask(0).headers["idempotency-replayed"] == "true"


def test_a_key_is_of_one_request_of_one_caller(api: Served) -> None:
    api.world.has_learners("A", "B")
    admin, other = api.client(), api.client(Role.OPERATOR)
    first = admin.post("learners/A/deactivate", Idempotency_Key="k")

    assert admin.post("learners/A/deactivate", Idempotency_Key="k").json == first.json
    assert problem(admin.post("learners/B/deactivate", Idempotency_Key="k"))[0] == HTTPStatus.UNPROCESSABLE_ENTITY
    assert problem(admin.post("learners/A/deactivate", Idempotency_Key="é"))[0] == HTTPStatus.UNPROCESSABLE_ENTITY
    assert other.post("learners/A/deactivate", Idempotency_Key="k").json["changed"] is False


def test_a_refusal_is_the_first_answer_too_and_what_is_kept_tells_nothing(api: Served) -> None:
    admin = api.client()
    refused = admin.post("learners/late/activate", Idempotency_Key="secret-key")
    api.world.has_learners("late")
    api.world.becomes("inactive", "late")

    assert problem(refused)[0] == HTTPStatus.NOT_FOUND
    assert admin.post("learners/late/activate", Idempotency_Key="secret-key").body == refused.body
    assert admin.post("learners/late/activate", Idempotency_Key="another").json["changed"] is True
    kept = api.world.ask(
        "SELECT string_agg(encode(answer, 'escape') || encode(key, 'escape'), '') FROM idempotency_keys"
    )
    assert "late" not in kept
    assert "secret-key" not in kept


def test_a_key_is_forgotten_after_a_day(api: Served) -> None:
    api.world.has_learners("A")
    admin = api.client()
    admin.post("learners/A/deactivate", Idempotency_Key="k")
    api.world.execute("UPDATE idempotency_keys SET at = now() - interval '25 hours'")

    assert admin.post("learners/A/deactivate", Idempotency_Key="k").json["changed"] is False
    api.world.execute("UPDATE idempotency_keys SET at = now() - interval '25 hours'")
    api.world.settle()
    assert api.world.ask("SELECT count(*) FROM idempotency_keys") == 0


def test_what_one_has_already_is_not_sent_again(api: Served) -> None:
    api.world.has_course("safety")
    admin = api.client()
    tag = admin.get("courses/safety").headers["etag"]

    same = admin.ask("GET", "courses/safety", If_None_Match=f'W/{tag}, "x"')

    assert (same.status, same.body, same.headers["etag"]) == (304, b"", tag)
    assert admin.ask("GET", "courses/safety", If_None_Match='"x"').status == HTTPStatus.OK
    assert problem(admin.ask("POST", "learners/A/activate", If_Match='"x"'))[0] == HTTPStatus.UNPROCESSABLE_ENTITY


def test_a_token_that_asks_too_much_has_to_wait_and_nobody_else(serve: Callable[..., Served]) -> None:
    api = serve(rollcall_api_rate=10)
    admin, reader = api.client(), api.client(Role.READER)

    answers = [admin.get("courses") for _ in range(8)]
    refused = [answer for answer in answers if answer.status == HTTPStatus.TOO_MANY_REQUESTS]

    assert refused
    assert {problem(answer)[0] for answer in refused} == {429}
    assert int(refused[0].headers["retry-after"]) >= 1
    assert reader.get("courses").status == HTTPStatus.OK


def test_an_address_that_tries_tokens_has_to_wait(api: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "time", SimpleNamespace(monotonic=lambda: 1.0))  # nothing comes back meanwhile
    statuses = [
        Client(api.public_url, f"rck_{n:049}").get("courses").status for n in range(limits.STRANGERS_AT_ONCE + 30)
    ]

    assert set(statuses) == {401, 429}


def test_a_bucket_fills_again() -> None:
    buckets = Buckets(10, 2)

    assert [buckets.wait("a", 4, 0.0) for _ in range(3)] == [0, 0, 1]
    assert buckets.wait("b", 10, 0.0) == 0
    assert buckets.wait("a", 4, 0.5) == 1
    assert buckets.wait("a", 4, 1.0) == 0
    assert buckets.wait("huge", 1000, 0.0) == 0  # what costs more than a bucket holds may be asked of a full one
    assert buckets.wait("huge", 1, 1.0) > 400


def test_while_the_database_is_away_it_is_503_and_says_when_to_come_again(world: World) -> None:
    nowhere = world.runtime.endpoints.database_url.replace("/test_", "/no_test_")
    with served(replace(world.runtime, endpoints=replace(world.runtime.endpoints, database_url=nowhere))) as runtime:
        answer = Client(runtime.endpoints.public_url, accounts.new_token()).get("access", learner="A", course="b")

    assert problem(answer)[0] == HTTPStatus.SERVICE_UNAVAILABLE
    assert answer.headers["retry-after"] == "5"


def test_a_connection_that_was_lost_meanwhile_costs_no_answer(api: Served) -> None:
    api.world.has_learners("A")
    api.world.has_course("safety", "everyone")
    admin = api.client()
    before = admin.get("access", learner="A", course="safety")
    ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database()"

    assert api.world.ask(f"{ended} AND application_name = 'rollcall web access'") >= 1
    assert admin.get("access", learner="A", course="safety").json == before.json


def test_an_act_that_holds_its_bulkhead_keeps_nobody_from_another(api: Served) -> None:
    """Lists that wait for the database fill their bulkhead; a toggle and a question for access are answered."""
    api.world.has_learners("A")
    api.world.has_course("safety", "everyone")
    admin = api.client()
    assert admin.post("learners/A/deactivate").json["changed"]
    assert {route.weight for route in every_route() if route.act.name == "segments.list"} == {Weight.LIST}

    with api.world.runtime.engine.begin() as connection:
        connection.exec_driver_sql("LOCK TABLE segments IN ACCESS EXCLUSIVE MODE")
        waiting = [threading.Thread(target=admin.get, args=("segments",)) for _ in range(8)]
        for thread in waiting:
            thread.start()
        until(lambda: _blocked(api) == 4, "the lists fill their bulkhead")
        toggled = admin.post("learners/A/activate")
        access = admin.get("access", learner="A", course="safety")
        refused = admin.get("segments")
    for thread in waiting:
        thread.join(30)

    assert (toggled.status, access.json["access"]) == (200, True)
    assert problem(refused)[0] == HTTPStatus.SERVICE_UNAVAILABLE


def _blocked(api: Served) -> int:
    asked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return int(api.world.ask(f"{asked} AND application_name = 'rollcall web lists'"))


def test_a_connection_is_kept_for_the_next_request(api: Served) -> None:
    token = api.client().token
    connection = http.client.HTTPConnection(urlsplit(api.public_url).netloc, timeout=20)
    statuses = []
    for _ in range(3):
        connection.request("GET", "/api/v1/organisations", headers={"Authorization": f"Bearer {token}"})
        with connection.getresponse() as response:
            statuses.append((response.status, response.getheader("cache-control")))
            response.read()
    connection.close()

    assert statuses == [(200, "no-store")] * 3
