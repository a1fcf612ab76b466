"""docs/asyncapi.json says what is so: of every type, with nothing missing and nothing dangling, by valid examples."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import jsonschema
import msgspec
import pytest
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from tasks.events import decode
from tasks.events.outgoing import TYPES_OUT
from tasks.events.schemas import TYPES, Event
from tests.outgoing import checked
from workers.asyncapi import EXAMPLES_IN, EXAMPLES_OUT, THEN, document, example

DOCUMENT = document()
ROOT = "urn:asyncapi"
REGISTRY: Registry[Any] = Registry().with_resource(ROOT, Resource.from_contents(DOCUMENT, DRAFT202012))


def valid(instance: object, schema: dict[str, Any]) -> None:
    """Raise where it is not."""
    jsonschema.Draft202012Validator({"$id": ROOT, **DOCUMENT, **schema}, registry=REGISTRY).validate(instance)


def found(reference: str) -> Any:
    """What a reference leads to."""
    return REGISTRY.resolver(ROOT).lookup(reference).contents


def references(part: object) -> Iterator[str]:
    """Every reference in a part of the document."""
    for name, value in part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ():
        if name == "$ref":
            yield value
        else:
            yield from references(value)


def messages() -> Iterator[dict[str, Any]]:
    """Every message, of every channel."""
    for channel in DOCUMENT["channels"].values():
        for message in channel["messages"].values():
            yield found(message["$ref"]) if "$ref" in message else message


def test_every_type_is_a_message_of_its_stream_and_has_an_example() -> None:
    channels = DOCUMENT["channels"]

    assert (list(channels["in"]["messages"]), list(channels["out"]["messages"])) == (list(TYPES), list(TYPES_OUT))
    assert [type(one) for one in EXAMPLES_IN] == list(TYPES.values())
    assert {type(one) for one in EXAMPLES_OUT} == set(TYPES_OUT.values())
    assert len(EXAMPLES_OUT) == len(TYPES_OUT)


def test_every_reference_leads_somewhere_and_everything_is_referred_to() -> None:
    used = set(references(DOCUMENT))
    kept = {f"#/components/{kind}/{name}" for kind, parts in DOCUMENT["components"].items() for name in parts}

    assert all(found(reference) for reference in used)
    assert kept - used == set()


def test_every_operation_is_about_messages_of_its_channel() -> None:
    for operation in DOCUMENT["operations"].values():
        prefix = f"{operation['channel']['$ref']}/messages/"
        assert all(one["$ref"].startswith(prefix) for one in operation["messages"])
        assert operation["messages"]


@pytest.mark.parametrize("message", list(messages()), ids=lambda message: message["name"])
def test_the_examples_are_valid(message: dict[str, Any]) -> None:
    assert message["examples"]
    for one in message["examples"]:
        valid(one["payload"], message["payload"])
        if "headers" in message:
            valid(one["headers"], message["headers"])


@pytest.mark.parametrize("data", EXAMPLES_IN, ids=lambda data: type(data).__name__)
def test_the_examples_of_events_in_are_taken(data: Any) -> None:
    taken = decode(msgspec.json.encode(example(data)), now=THEN, skew=timedelta())

    assert isinstance(taken, Event)
    assert taken.data == data


@pytest.mark.parametrize("data", EXAMPLES_OUT, ids=lambda data: type(data).__name__)
def test_the_examples_of_events_out_are_as_we_write_them(data: Any) -> None:
    checked(msgspec.json.encode(example(data)))


@pytest.mark.parametrize("name", [*TYPES, *TYPES_OUT])
def test_a_schema_refuses_what_lacks_its_data_or_is_of_another_type(name: str) -> None:
    [good] = (example(one) for one in (*EXAMPLES_IN, *EXAMPLES_OUT) if example(one)["type"] == name)
    schema = {"$ref": f"#/components/schemas/{name}"}

    valid(good, schema)
    for wrong in (good | {"data": {}}, good | {"type": "rollcall.other"}, good | {"organisation": 1}):
        with pytest.raises(jsonschema.ValidationError):
            valid(wrong, schema)
