"""docs/openapi.json says what is so: every route, with nothing dangling, and answers that are as it says."""

import hashlib
import re
import typing
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import jsonschema
import msgspec
import pytest

from tasks.accounts import Role
from tasks.acts.imports import ImportRun
from tests.api.conftest import ApiAnswer, Served
from workers import schemas
from workers.web.api import forms, openapi, reading
from workers.web.api.problems import KINDS
from workers.web.api.routes import every_route

DOCUMENT = msgspec.json.decode(msgspec.json.encode(openapi.document()))


def references(part: object) -> Iterator[str]:
    """Every reference in a part of the document."""
    for name, value in part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ():
        if name == "$ref":
            yield value
        else:
            yield from references(value)


def found(reference: str) -> Any:
    """What a reference leads to."""
    part: Any = DOCUMENT
    for step in reference.removeprefix("#/").split("/"):
        part = part[step]
    return part


def as_described(route: str, method: str, answer: ApiAnswer) -> None:
    """Check an answer against what the document says of it."""
    said = DOCUMENT["paths"][f"/organisations/{{organisation}}/{route}"][method]["responses"][str(answer.status)]
    said = found(said["$ref"]) if "$ref" in said else said
    media = answer.headers["content-type"]
    schema = {"components": DOCUMENT["components"], **said["content"][media]["schema"]}
    jsonschema.Draft202012Validator(schema).validate(answer.json)
    for name, header in said.get("headers", {}).items():
        assert name.lower() in answer.headers, header


def test_the_document_in_the_repo_is_that_of_the_types() -> None:
    assert schemas.API.read_text(encoding="utf-8") == schemas.api(), "run make schemas"


def test_every_act_is_in_it_and_nothing_dangles() -> None:
    described = {(method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods}
    operations = [one["operationId"] for methods in DOCUMENT["paths"].values() for one in methods.values()]

    assert described == {(route.act.method, route.path) for route in every_route()}
    assert len(operations) == len({*operations})
    assert all(found(reference) for reference in references(DOCUMENT))
    assert {*DOCUMENT["components"]["responses"]} == {str(status) for status in KINDS}


@pytest.mark.parametrize("path", sorted(DOCUMENT["paths"]))
def test_every_field_of_a_path_is_a_parameter(path: str) -> None:
    for one in DOCUMENT["paths"][path].values():
        in_path = [field["name"] for field in one["parameters"] if field["in"] == "path"]

        assert sorted(in_path) == sorted(re.findall(r"\{(\w+)\}", path))
        assert one["summary"]


def test_answers_are_as_it_says(api: Served) -> None:
    api.world.has_learners("A", "B")
    api.world.has_segment("s", "A")
    api.world.has_course("safety", "everyone")
    admin, reader = api.client(), api.client(Role.READER)

    as_described("learners", "get", reader.get("learners", limit=1))
    as_described("learners", "get", reader.get("learners", limit=0))
    as_described("learners/{learner}", "get", reader.get("learners/A", course="safety"))
    as_described("learners/{learner}", "get", reader.get("learners/nobody"))
    as_described("learners/{learner}/activate", "post", reader.post("learners/A/activate"))
    as_described("learners/{learner}/activate", "post", admin.post("learners/A/activate"))
    as_described("learners/status", "post", admin.post("learners/status", {"learners": ["A"], "status": "active"}))
    as_described("access", "get", reader.get("access", learner="A", course="safety"))
    as_described("access", "post", reader.post("access", {"learners": ["A"], "courses": ["safety"]}))
    as_described("courses", "get", reader.get("courses"))
    as_described("courses", "get", api.client(None).get("courses"))
    method = {"method": "manual", "segments": []}
    as_described("courses/{course}/method", "put", admin.ask("PUT", "courses/safety/method", method))
    asked = {"learners": ["A"], "tab": "all"}
    as_described("courses/{course}/enrolments", "post", admin.post("courses/safety/enrolments", asked))
    as_described("segments", "get", reader.get("segments"))
    as_described("segments/{segment}", "put", admin.ask("PUT", "segments/t", {"name": "T"}))
    as_described("segments/{segment}/members", "post", admin.post("segments/s/members", {"learners": ["B"]}))


@pytest.mark.parametrize(
    ("route", "asked", "media"),
    [
        ("learners/{learner}/export", "learners/A/export", "application/json"),
        ("audit/export", "audit/export?format=csv", "text/csv"),
        ("audit/export", "audit/export?format=jsonl", "application/jsonl"),
    ],
)
def test_what_is_streamed_is_what_it_says(api: Served, route: str, asked: str, media: str) -> None:
    api.world.has_learners("A")
    answer = api.client(Role.OPERATOR).get(asked)

    assert (answer.status, answer.headers["content-type"].partition(";")[0]) == (HTTPStatus.OK, media)
    said = DOCUMENT["paths"][f"/organisations/{{organisation}}/{route}"]["get"]["responses"]["200"]["content"]
    assert media in said
    assert ("application/json" in said) == (route == "learners/{learner}/export"), "no other has one document"


def test_a_head_that_is_too_long_is_refused_as_it_says(api: Served) -> None:
    answer = api.client().get("webhooks", after="a" * 20_000)

    said = found(DOCUMENT["paths"]["/organisations/{organisation}/webhooks"]["get"]["responses"]["400"]["$ref"])
    assert answer.status == HTTPStatus.BAD_REQUEST
    assert answer.headers["content-type"].partition(";")[0] in said["content"]


def test_a_path_allows_what_it_says_though_a_name_could_be_written_like_it(api: Served) -> None:
    answer = api.client().ask("OPTIONS", "announcements/see")

    methods = {method.upper() for method in DOCUMENT["paths"]["/organisations/{organisation}/announcements/see"]}
    assert answer.status == HTTPStatus.METHOD_NOT_ALLOWED
    assert {*answer.headers["allow"].split(", ")} == methods == {"POST"}


def test_a_path_that_is_no_name_has_only_its_own_methods(api: Served) -> None:
    answer = api.client(None).ask("DELETE", "/sessions/end-others")

    assert answer.status == HTTPStatus.METHOD_NOT_ALLOWED
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize(
    ("until", "status"),
    [
        ("2026-01-01T00:00:00Z", 200),
        ("0235-07-11T14:29:23+16:54", 200),
        ("0.5", 422),
        ("1767225600", 422),
        ("0001-01-01T00:00:00+01:00", 422),
        ("9999-12-31T23:59:59-01:00", 422),
    ],
)
def test_a_time_is_one_of_rfc_3339_that_utc_has(api: Served, until: str, status: int) -> None:
    answer = api.client().get("seats/ledger", review=True, until=until)

    assert answer.status == status
    assert api.client().get("seats/ledger/export", until=until).status == status


def test_the_page_runs_nothing_and_asks_nobody_else(api: Served) -> None:
    document = api.client(None).ask("GET", "/openapi.json")
    assert document.status == HTTPStatus.OK
    assert {**document.json, "servers": []} == {**DOCUMENT, "servers": []}
    assert document.json["servers"] == [{"url": f"{api.public_url}/api/v1"}]

    with urllib.request.urlopen(f"{api.public_url}/api", timeout=20) as page:  # noqa: S310 - ours
        headers, text = page.headers, page.read().decode()
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)

    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert b64encode(hashlib.sha256(style.encode()).digest()).decode() in headers["content-security-policy"]
    assert "<script" not in text
    assert {*re.findall(r'(?:href|src)="(http[^"]*)"', text)} <= {f"{api.public_url}/api/v1/openapi.json"}
    assert all(f'id="{name}"' in text for name, _ in KINDS.values())


def test_a_form_has_its_file_however_many_types_were_made_since_its_own() -> None:
    for forget in typing._cleanups:  # type: ignore[attr-defined]
        forget()

    assert forms.has_file(reading.fields_of(ImportRun))
    assert "multipart/form-data" in str(openapi.document()["paths"]["/organisations/{organisation}/imports"])
