"""Whatever is asked of the API, by whomever: no answer is a fault of ours, and each is as the document says."""

import random
from typing import Any
from urllib.parse import quote

import jsonschema
import msgspec
import pytest

from tasks.accounts import Role
from tests.api.conftest import Served, api
from tests.api.test_openapi import DOCUMENT, found
from tests.world import World

__all__ = ["api"]  # a fixture

#: Requests of each route.
TRIES = 60

#: What may stand anywhere.
VALUES: list[Any] = [
    None, True, False, -1, 0, 1, 2**31, 2**63, 2**70, 1.5, "", " ", "A", "B", "safety", "s", "active", "all", "nobody",
    "\0", "é" * 300, "a" * 5000, "%", "../..", "'; --", "2026-02-30", "2026-01-01T00:00:00Z", "null", "1e400", "\u202e",
    [], {}, ["A"], ["A", "A"], [None], [[]], {"a": 1}, ["A"] * 2000,
]  # fmt: skip


@pytest.fixture
def furnished(world: World) -> World:
    """Something of everything."""
    world.has_learners("A", "B")
    world.becomes("inactive", "B")
    world.has_segment("s", "A")
    world.has_course("safety", "everyone")
    world.announces()
    world.settle()
    return world


#: Values of a type, besides what may stand anywhere.
OF_TYPE: dict[str, list[Any]] = {
    "integer": [0, 1, 2, 1000, 2**31, -1],
    "boolean": [True, False],
    "string": [one for one in VALUES if isinstance(one, str)],
}


def anything(chance: random.Random, schema: dict[str, Any]) -> Any:
    """A value that may be of this type, or not."""
    if chance.random() < 0.3:
        return chance.choice(VALUES)
    if "$ref" in schema or "anyOf" in schema:
        return anything(chance, found(schema["$ref"]) if "$ref" in schema else chance.choice(schema["anyOf"]))
    kind = str(schema.get("type"))
    if kind == "array":
        return [anything(chance, schema.get("items", {})) for _ in range(chance.randrange(3))]
    if kind == "object":
        return {name: anything(chance, one) for name, one in schema.get("properties", {}).items()}
    return chance.choice(schema.get("enum") or OF_TYPE.get(kind, VALUES))


@pytest.mark.parametrize("seed", range(3))
def test_r34_whatever_is_asked_is_answered_as_the_document_says(furnished: World, api: Served, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    clients = [api.client(role) for role in Role]
    for path, methods in DOCUMENT["paths"].items():
        for method, said in methods.items():
            for _ in range(TRIES):
                target, query, headers = path, [], {}
                for field in said["parameters"]:
                    value = anything(chance, field["schema"])
                    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
                    if field["in"] == "path":
                        text = (
                            "acme" if field["name"] == "organisation" and chance.random() < 0.8 else text[:300] or "A"
                        )
                        target = target.replace(f"{{{field['name']}}}", quote(text, safe=""))
                    elif field["in"] == "query" and chance.random() < 0.5:
                        query.append((field["name"], text[:2000]))
                    elif chance.random() < 0.2:
                        headers[field["name"]] = f'"{abs(hash(text))}"'
                raw = None
                if media := said.get("requestBody", {}).get("content", {}).get("application/json"):
                    raw = msgspec.json.encode(anything(chance, media["schema"]))
                client = chance.choice(clients)
                answer = client.ask(method.upper(), target, raw=raw, query=query, **headers)
                place = f"{method} {target[:300]} {query} {raw and raw[:300]!r} {answer.body[:300]!r}"
                assert answer.status < 500, place
                if answer.status in {204, 304, 429}:
                    continue
                described = said["responses"].get(str(answer.status))
                assert described is not None, place
                described = found(described["$ref"]) if "$ref" in described else described
                media = answer.headers["content-type"].partition(";")[0]
                assert media in described["content"], (place, answer.status, described)
                content = described["content"][media]["schema"]
                if not media.endswith("json"):
                    continue
                jsonschema.Draft202012Validator({"components": DOCUMENT["components"], **content}).validate(answer.json)
