"""R31, R34: what the OWASP API Security Top 10 (2023) lists, tried on every route; docs/security.md names the rest."""

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from tasks import acts
from tasks.accounts import Role, new_token
from tasks.acts import accounts as token_acts
from tasks.acts.acting import ACTS, Act, Doing, Nothing, perform
from tests.api.conftest import ROOT, Client, Served
from tests.api.test_openapi import DOCUMENT, found
from tests.isolation.neighbours import ONLY_THEIRS, OURS, SECRET, THEIRS, belongings
from tests.world import World
from workers.web.api import doors
from workers.web.api.problems import MEDIA_TYPE
from workers.web.api.routes import BASE
from workers.web.app import make_app

#: Every route: its method, its path, and what the document says of it.
ROUTES = [
    (method.upper(), path, said) for path, methods in DOCUMENT["paths"].items() for method, said in methods.items()
]


#: What names no thing that is there: a segment of our own is made, and a template is one of the product's.
MADE = {"PUT segments/{segment}", "GET segments/{segment}/counts", "POST templates/{template}"}


def named(schema: dict[str, Any], text: str) -> Any:
    """A value that the document allows, with this text wherever there may be one."""
    if "$ref" in schema:
        schema = found(schema["$ref"])
    if "anyOf" in schema:
        return named(next(one for one in schema["anyOf"] if one.get("type") != "null"), text)
    if chosen := schema.get("enum"):
        return chosen[0]
    if schema.get("type") == "array":
        return [named(schema.get("items", {}), text)]
    if schema.get("type") == "object":
        needed = schema.get("required", [])
        return {name: named(one, text) for name, one in schema.get("properties", {}).items() if name in needed}
    moment = "2026-01-01T00:00:00Z" if schema.get("format") == "date-time" else text
    return {"integer": schema.get("minimum", 1), "boolean": True}.get(schema.get("type", ""), moment)


def asked(path: str, said: dict[str, Any], organisation: str, text: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """A path, a query and a body that name things by this text."""
    fields = {field["name"]: field for field in said["parameters"]}
    for name, field in fields.items():
        value = organisation if name == "organisation" else str(named(field["schema"], text))
        path = path.replace(f"{{{name}}}", quote(value, safe=""))
    query = {
        name: named(field["schema"], text)
        for name, field in fields.items()
        if field["in"] == "query" and (field["required"] or name in {"learner", "course", "segment"})
    }
    (media,) = said.get("requestBody", {"content": {"": {}}})["content"].values()
    return path, query, named(media["schema"], text) if media else {}


def test_r31_no_route_shows_or_changes_anything_of_a_neighbour_by_its_ids(neighbours: World, api: Served) -> None:
    before, answered = belongings(neighbours, THEIRS), {}
    whose = {OURS: ONLY_THEIRS, THEIRS: "A"}  # what only they have, among ours; and what both have, among theirs
    for (method, path, said), (organisation, text) in itertools.product(ROUTES, whose.items()):
        if "{organisation}" not in path or (organisation == OURS and path.count("{") == 1):
            continue
        target, query, body = asked(path, said, organisation, text)
        answer = api.client(Role.ADMIN).ask(method, target, body if "requestBody" in said else None, query=query)
        place = f"{method} {target} {query} {body} {answer.status} {answer.body!r}"
        answered[method, path.partition("{organisation}/")[2], organisation] = answer.status
        assert answer.status < 500, place
        assert SECRET not in f"{answer.headers} {answer.body!r}", place
        assert f"@{THEIRS}.example" not in answer.body.decode(), place
        if organisation == THEIRS:
            assert answer.status in {404, 415}, place

    done = {f"{method} {path}" for (method, path, _), status in answered.items() if status < 400}
    assert done == MADE
    assert belongings(neighbours, THEIRS) == before


def test_r34_no_route_lets_anybody_in_without_a_token_that_holds(
    serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doors, "STRANGERS_AT_ONCE", 1e9)  # or the answer is 429 soon
    api, ends = serve(), datetime.now(UTC) + timedelta(days=1)
    expired, revoked = (
        perform(api.world.runtime, ROOT, token_acts.add_token, token_acts.NewToken(name, Role.OPERATOR, [], ends)).token
        for name in ("expired", "revoked")
    )
    api.world.execute("UPDATE tokens SET expires_at = now() - interval '1 day' WHERE name = 'expired'")
    api.world.execute("UPDATE tokens SET revoked_at = now() WHERE name = 'revoked'")
    shown = ["Basic cm9vdDpyb290", "Bearer", "Bearer \u00ff", f"bearer {expired}", f"Bearer {revoked}"]
    client = Client(api.public_url, None)

    tokens = itertools.cycle([*shown, f"Bearer {new_token()}"])
    for (method, path, said), token in [(route, token) for route in ROUTES for token in ("", next(tokens))]:
        target, query, body = asked(path, said, OURS, "A")
        headers: dict[str, Any] = {"Authorization": token} if token else {}
        answer = client.ask(method, target, body if "requestBody" in said else None, query=query, **headers)
        assert (answer.status, answer.headers["content-type"]) == (401, MEDIA_TYPE), f"{method} {path}"
        assert answer.headers["www-authenticate"].startswith("Bearer"), f"{method} {path}"


def test_no_body_sets_what_the_document_does_not_name(api: Served) -> None:
    operator, more = api.client(Role.OPERATOR), {"role": "operator", "organisation_number": 1}
    for method, path, said in ROUTES:
        if "application/json" not in said.get("requestBody", {}).get("content", {}):
            continue
        target, _, body = asked(path, said, OURS, "A")
        known = said["requestBody"]["content"]["application/json"]["schema"]["properties"]
        unknown = {name: value for name, value in more.items() if name not in known}
        answer = operator.ask(method, target, body | unknown)
        assert answer.status == 422, f"{method} {path} {answer.body!r}"
        assert {f"/{name}" for name in unknown} <= {*answer.pointers}, f"{method} {path} {answer.body!r}"


def failing(_doing: Doing, _asked: Nothing) -> Nothing:
    """What goes wrong for a reason that is nobody's business."""
    raise RuntimeError(f"{SECRET}: SELECT secret FROM learners")


def test_no_answer_lets_pages_of_others_read_it_or_tells_what_runs_here(
    serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    api = serve()
    admin = api.client()
    foreign: dict[str, Any] = {"Origin": "https://elsewhere.example", "Access_Control_Request_Method": "POST"}
    answers = [
        admin.ask("GET", "courses", **foreign),
        admin.ask("GET", "learners/nobody", **foreign),
        admin.ask("OPTIONS", "courses", **foreign),
        admin.ask("GET", "learners", query={"limit": 0}, **foreign),
        api.client(Role.READER).ask("POST", "learners/A/activate", **foreign),
        api.client(None).ask("GET", "courses", **foreign),
        api.client(None).ask("GET", "/openapi.json", **foreign),
    ]
    acts.every()
    broken: Act[Nothing, Nothing] = Act("courses.list", "GET", "courses", failing, Nothing, Nothing, False, 200)
    monkeypatch.setitem(ACTS, "courses.list", broken)
    answers.append(Client(serve().public_url, admin.token).ask("GET", "courses", **foreign))

    assert [answer.status for answer in answers] == [200, 404, 405, 422, 403, 401, 200, 500]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] in {"no-store", "no-cache"}
        assert not {"server", "x-powered-by"} & answer.headers.keys()
        assert not [name for name in answer.headers if name.startswith("access-control-")]
        assert SECRET not in answer.body.decode()
        assert "Traceback" not in answer.body.decode()


def test_nothing_is_served_below_the_api_that_the_document_does_not_name(api: Served) -> None:
    admin, methods = api.client(), {"GET", "POST", "PUT", "PATCH", "DELETE"}
    served = {str(getattr(route, "path", "")) for route in make_app(api.world.runtime).routes}
    below = {path for path in served if path.startswith(BASE)}
    more = []
    for path, said in DOCUMENT["paths"].items():
        target, _, _ = asked(path, {"parameters": next(iter(said.values()))["parameters"]}, OURS, "A")
        for method in sorted(methods - {one.upper() for one in said}):
            answer = admin.ask(method, target)
            if (answer.status, answer.headers.get("content-type")) != (405, MEDIA_TYPE):
                more.append(f"{method} {path}")

    assert below == {f"{BASE}/openapi.json", f"{BASE}/{{rest:anything}}"}
    of_one = ["DELETE", "GET", "PATCH"]
    assert sorted(more) == sorted(  # these are learners and an announcement with such an id as well
        [f"GET /organisations/{{organisation}}/learners/{id_}" for id_ in ("status", "subscription")]
        + [f"{method} /organisations/{{organisation}}/announcements/see" for method in of_one]
    )
