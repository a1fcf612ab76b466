"""The contract of both directions as AsyncAPI 3.0, made from the types; `python -m workers.schemas` writes it.

Of each message there is an example, which a test checks against its schema and against what reads it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct

from config.streams import GROUP, IN, OUT
from config.words import as_json
from tasks import events
from tasks.events import Reason

#: Grows by a minor number with what is added; what is there stays.
VERSION = "1.0.0"

#: When everything in the examples happens.
THEN = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)

#: The id of every event out in the examples.
ID_OUT = "6a1c6f0e-3a55-4d0f-9a0b-1f5d8f6f2f11"

#: Who sends the events in of the examples.
SOURCE = "https://learn.example.org"

EXAMPLES_IN: list[events.Data] = [
    events.OrganisationSaved(
        "Birch",
        "credits",
        pool=500,
        licence_starts="2026-01-01",
        licence_ends="2026-12-31",
        admin_emails=["admin@birch.example"],
    ),
    events.LearnerSaved("L1", "ada", "ada@birch.example", "Ada", "Byron", "en", "Europe/London", "active", 1),
    events.StatusChanged("L1", "inactive", 2),
    events.LearnerDeleted("L1"),
    events.SegmentSaved("drivers", "Drivers"),
    events.SegmentJoined("drivers", ["L1", "L2"]),
    events.SegmentLeft("drivers", ["L2"]),
    events.CourseSaved("first-aid", "First aid", cost=2, method="segments", segments=["drivers"]),
    events.EnrolmentRequested("R1", "first-aid", learners=["L1", "L2"], tab="active"),
    events.EnrolmentWithdrawn("first-aid", ["L2"]),
    events.CourseStarted("L1", "first-aid"),
    events.CourseCompleted("L1", "first-aid", result="passed", score=9.5),
    events.AnnouncementRequested(
        "spring", "Spring, {{ first_name }}", "A new course is *here*.", events.Audience(segments=["drivers"])
    ),
]

_COUNTS: dict[str, Any] = {
    "announcement": "spring",
    "selected": 4,
    "skipped": {"inactive": 1},
    "failed": 0,
    "uncertain": 0,
    "pending": 0,
}

EXAMPLES_OUT: list[events.OutgoingEvent] = [
    events.EnrolmentFinished(
        request="R1", course="first-aid", selected=4, enrolled=1, silent=1, already=1, not_eligible={"unknown": 1}
    ),
    events.EnrolmentChanged(course="first-aid", cycle=1, cause="request", enrolled=["L1"], silent=["L2"], withdrawn=[]),
    events.AccessActivated(learner="L2", courses=["fire-safety", "first-aid"]),
    events.AccessSuspended(learner="L2"),
    events.PasswordVoid(learner="L3", username="grace"),
    events.SeatConsumed(
        consumption="1041",
        learner="L1",
        course="first-aid",
        cycle=1,
        unit="credit",
        amount=2,
        occurred_at=THEN,
        overdrawn=False,
    ),
    events.AnnouncementFinished(**_COUNTS, accepted=3, cancelled=0, state="finished"),
    events.AnnouncementCancelled(**_COUNTS, accepted=1, cancelled=2, state="cancelled"),
    events.EventQuarantined(
        event="start-1041", source=SOURCE, type="platform.course.started", reason=Reason.NOT_ENROLLED
    ),
    events.PoolReached(
        unit="credit", percent=80, used=401, pool=500, licence_starts=THEN, licence_ends=THEN + timedelta(days=365)
    ),
    events.WebhookDisabled(
        webhook="billing", reason="failing", failing_since=THEN, failures=57, problem="refused", status=500
    ),
]

_ABOUT = (
    "What happens on a learning platform comes in as events, over Redis or HTTP; what Rollcall does about it goes out"
    " as events. All are CloudEvents 1.0 in structured JSON, with the extension attribute `organisation`. An event is"
    " known by `source` and `id`: sent any number of times it has the effect of one, and they may come late and in any"
    " order. What cannot be taken is kept with its reason, and told of by `rollcall.event.quarantined`. Events out are"
    " delivered at least once: skip ids you know. docs/first-steps.md shows a producer and a consumer,"
    " docs/states.md lists states and reasons."
)


def _host(description: str) -> dict[str, Any]:
    return {"host": {"default": "localhost", "description": description}}


_SERVERS = {
    "redis": {
        "host": "{host}:6379",
        "protocol": "redis",
        "description": "Redis 7 or Valkey 8, or newer, at `REDIS_URL`; over TLS where that begins with `rediss:`.",
        "variables": _host("the host in `REDIS_URL`"),
        "security": [{"$ref": "#/components/securitySchemes/redis"}],
    },
    "web": {
        "host": "{host}",
        "protocol": "https",
        "description": "The process `web`, at `PUBLIC_URL`.",
        "variables": _host("the host in `PUBLIC_URL`"),
    },
    "yours": {
        "host": "{host}",
        "protocol": "https",
        "description": "Where your webhook is.",
        "variables": _host("the host in the address you registered"),
    },
}

_SECURITY = {
    "redis": {"type": "userPassword", "description": "The user and password in `REDIS_URL`."},
    "standardWebhooks": {
        "type": "httpApiKey",
        "name": "webhook-signature",
        "in": "header",
        "description": "Signed as Standard Webhooks describes; the signature is good for five minutes.",
    },
}

#: What Standard Webhooks asks of a request (standardwebhooks.com).
_SIGNED = {
    "type": "object",
    "properties": {
        "webhook-id": {"type": "string", "description": "the id of the message, the same at each try"},
        "webhook-timestamp": {"type": "string", "pattern": "^[0-9]+$", "description": "now, in seconds since 1970"},
        "webhook-signature": {
            "type": "string",
            "pattern": "^v1,[A-Za-z0-9+/]{43}=( v1,[A-Za-z0-9+/]{43}=)*$",
            "description": "v1, and the base64 of the HMAC-SHA256 of id.timestamp.body, several with spaces between",
        },
    },
    "required": ["webhook-id", "webhook-timestamp", "webhook-signature"],
}


class EventsStored(Struct, frozen=True):
    """The answer to what was posted: all of it is stored, and what could not be taken is in quarantine."""

    events: int
    new: int
    repeated: int
    held: int
    malformed: int
    reasons: list[str] = []


def _ref(*path: str) -> dict[str, str]:
    return {"$ref": "#/" + "/".join(part.replace("~", "~0").replace("/", "~1") for part in path)}


def _schema(name: str) -> dict[str, str]:
    return _ref("components", "schemas", name)


def example(data: events.Data | events.OutgoingEvent) -> dict[str, Any]:
    """A whole event that says this."""
    ins, outs = ({kind: name for name, kind in types.items()} for types in (events.TYPES, events.TYPES_OUT))
    known = ins | outs
    comes_in = type(data) in ins
    event = {
        "specversion": "1.0",
        "id": f"{known[type(data)].removeprefix('platform.')}-1041" if comes_in else ID_OUT,
        "source": SOURCE if comes_in else "rollcall",
        "type": known[type(data)],
        "time": THEN,
        "organisation": "birch",
        "datacontenttype": "application/json",
        "data": data,
    }
    found: dict[str, Any] = msgspec.to_builtins(event) if comes_in else msgspec.json.decode(as_json(event))
    return found


def _said(data: type[Struct]) -> str:
    """What a type of event says, as its docstring has it, on one line."""
    return " ".join((data.__doc__ or "").split())


def _event(name: str, envelope: str, data: type[Struct]) -> dict[str, Any]:
    """The schema of whole events of one type."""
    fields = {"type": {"const": name}, "data": _schema(data.__name__)}
    return {"description": _said(data), "allOf": [_schema(envelope), {"type": "object", "properties": fields}]}


def _message(name: str, data: type[Struct]) -> dict[str, Any]:
    examples = [example(one) for one in (*EXAMPLES_IN, *EXAMPLES_OUT) if type(one) is data]
    return {
        "name": name,
        "title": name,
        "summary": _said(data),
        "contentType": "application/cloudevents+json",
        "correlationId": _ref("components", "correlationIds", "event"),
        "payload": _schema(name),
        "examples": [{"payload": one} for one in examples],
    }


def _posted_message(
    name: str, content: str, payload: dict[str, Any], data: events.Data | events.OutgoingEvent
) -> dict[str, Any]:
    one = example(data)
    headers = {
        "webhook-id": one["id"],
        "webhook-timestamp": str(int(THEN.timestamp())),
        "webhook-signature": "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
    }
    return {
        "name": name,
        "contentType": content,
        "headers": _schema("Signed"),
        "payload": payload,
        "examples": [{"headers": headers, "payload": [one] if payload.get("type") == "array" else one}],
    }


def _operation(action: str, channel: str, summary: str, messages: Sequence[str], **more: object) -> dict[str, Any]:
    return {
        "action": action,
        "channel": _ref("channels", channel),
        "summary": summary,
        **more,
        "messages": [_ref("channels", channel, "messages", name) for name in messages],
    }


def document() -> dict[str, Any]:
    """The whole document."""
    _, data = msgspec.json.schema_components(
        [*events.TYPES.values(), *events.TYPES_OUT.values(), events.CloudEventEnvelope, events.Document, EventsStored],
        ref_template="#/components/schemas/{name}",
    )
    events_in = {name: _event(name, "CloudEventEnvelope", kind) for name, kind in events.TYPES.items()}
    events_out = {name: _event(name, "Document", kind) for name, kind in events.TYPES_OUT.items()}
    any_in, any_out = ({"oneOf": [_schema(name) for name in events]} for events in (events_in, events_out))
    messages = {name: _message(name, kind) for name, kind in (events.TYPES | events.TYPES_OUT).items()}
    event = "application/cloudevents+json"
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Rollcall", "version": VERSION, "description": _ABOUT},
        "defaultContentType": event,
        "servers": _SERVERS,
        "channels": {
            "in": {
                "address": IN,
                "description": f"A Redis stream. Each entry has one field, `event`; Rollcall is its group `{GROUP}`.",
                "servers": [_ref("servers", "redis")],
                "messages": {name: _ref("components", "messages", name) for name in events_in},
            },
            "posted": {
                "address": "/events",
                "description": "The same events over HTTP: one, or an array of at most 5,000.",
                "servers": [_ref("servers", "web")],
                "messages": {
                    "event": _posted_message("event", event, _schema("EventIn"), EXAMPLES_IN[0]),
                    "batch": _posted_message(
                        "batch",
                        "application/cloudevents-batch+json",
                        {"type": "array", "maxItems": 5000, "items": _schema("EventIn")},
                        EXAMPLES_IN[0],
                    ),
                    "stored": {
                        "name": "stored",
                        "summary": "202, once all of it is stored.",
                        "contentType": "application/json",
                        "payload": _schema("EventsStored"),
                        "examples": [{"payload": msgspec.to_builtins(EventsStored(1, 1, 0, 0, 0))}],
                    },
                },
            },
            "out": {
                "address": OUT,
                "description": "A Redis stream, in one order. Each entry has one field, `event`; read it as a group.",
                "servers": [_ref("servers", "redis")],
                "messages": {name: _ref("components", "messages", name) for name in events_out},
            },
            "webhooks": {
                "address": None,
                "description": "The same events at an address of yours, where you registered one.",
                "servers": [_ref("servers", "yours")],
                "messages": {"event": _posted_message("event", event, _schema("EventOut"), EXAMPLES_OUT[5])},
            },
        },
        "operations": {
            "take": _operation("receive", "in", "Rollcall takes what happens on the platform.", list(events_in)),
            "takePosted": _operation(
                "receive",
                "posted",
                "Rollcall takes it over HTTP, and answers once it is stored.",
                ["event", "batch"],
                security=[_ref("components", "securitySchemes", "standardWebhooks")],
                bindings={"http": {"method": "POST", "bindingVersion": "0.3.0"}},
                reply={
                    "channel": _ref("channels", "posted"),
                    "messages": [_ref("channels", "posted", "messages", "stored")],
                },
            ),
            "tell": _operation("send", "out", "Rollcall tells what it did, in one order.", list(events_out)),
            "post": _operation(
                "send",
                "webhooks",
                "Rollcall tells it over HTTP, and tries again until it is answered 2xx.",
                ["event"],
                security=[_ref("components", "securitySchemes", "standardWebhooks")],
                bindings={"http": {"method": "POST", "bindingVersion": "0.3.0"}},
            ),
        },
        "components": {
            "messages": messages,
            "schemas": {**data, "Signed": _SIGNED, "EventIn": any_in, "EventOut": any_out, **events_in, **events_out},
            "securitySchemes": _SECURITY,
            "correlationIds": {
                "event": {"location": "$message.payload#/id", "description": "with `source`: which it is"}
            },
        },
    }
