"""What is published about events is what is taken: schemas and decoder agree, but for what no schema can say."""

import json
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import jsonschema
import pytest

from tasks.events import Event, decode
from tests.events.hostile import GOOD, event, wrong_type
from tests.events.test_bad_input import MALFORMED
from workers.schemas import FOLDER

#: What makes an event malformed that its schema lets pass, by the decoder's words for it.
NO_SCHEMA_SAYS = (
    "in the future", "is before 1970", "the character NUL", "neither a date nor a time", "has no offset", "`send_at`",
    "the logo is not", "the colour is not", "either `learners` with `tab`, or `segment`", "needs a `tab`",
    "exactly one of everyone, segments and learners", "timezone", "RFC3339", "out of range",
    "got `float`",  # 7.0 is a whole number to a schema
)  # fmt: skip

TYPES = {path.stem: json.loads(path.read_text()) for path in (FOLDER / "cloudevents").glob("*.json")}


@pytest.mark.parametrize("type_", GOOD)
def test_r06_an_event_as_its_schema_has_it_is_taken_with_fields_that_nobody_knows(type_: str) -> None:
    document = event(type_, GOOD[type_] | {"unheard_of": [1]}, "e1") | {"extension": "yes"}

    jsonschema.validate(document, TYPES[document["type"]])
    assert isinstance(understood(json.dumps(document).encode()), Event)


def test_r06_the_schemas_and_the_decoder_refuse_the_same() -> None:
    random = Random(5)  # noqa: S311 - repeatable, not secret
    validators = {type_: jsonschema.Draft202012Validator(schema) for type_, schema in TYPES.items()}
    bodies = [body for body, _ in MALFORMED.values()] + [wrong_type(random, f"e{n}") for n in range(1500)]
    disagreed, agreed = [], 0

    for body in bodies:
        document = as_json(body)
        type_ = document.get("type") if isinstance(document, dict) else None
        validator = validators.get(type_) if isinstance(type_, str) else None
        if validator is None:  # no JSON at all, or of no type that has a schema
            assert not isinstance(understood(body), Event)
            continue
        fits, taken = validator.is_valid(document), understood(body)
        why = "" if isinstance(taken, Event) else taken.detail
        if fits == isinstance(taken, Event):
            agreed += 1
        elif not fits or not any(words in why for words in NO_SCHEMA_SAYS):
            disagreed.append((fits, why, body[:300]))

    assert disagreed == []
    assert agreed > 1000


def understood(body: bytes) -> Any:
    """What the decoder makes of an event."""
    return decode(body, now=datetime.now(UTC), skew=timedelta(minutes=5))


def as_json(body: bytes) -> Any:
    """A document as RFC 8259 has it, or None."""
    try:
        text = body.decode()
        text.encode()
        document = json.loads(text, parse_constant=lambda name: float("bogus " + name), parse_int=int)
        json.dumps(document, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return document
