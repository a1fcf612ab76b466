"""The API as OpenAPI 3.1, made from the types that decode and encode."""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from http import HTTPStatus
from importlib.metadata import version
from types import UnionType
from typing import IO, Any, Union, get_args, get_origin

import msgspec

from tasks.accounts import PERMISSIONS
from tasks.acts.paging import Begun, Stream, UnderWay
from workers.web.api import forms, problems
from workers.web.api.problems import KINDS, ProblemDetails
from workers.web.api.routes import BASE, LONGEST_KEY, ActRoute, every_route

_REF = "#/components/schemas/{name}"

#: What is said of the whole.
ABOUT = """\
Every act of Rollcall as a route. A program shows a token that `rollcall tokens add` made. Fields are named as commands
print them with `--json`. Errors are problems of RFC 9457. Lists are answered page by page: give `next` back as `after`.
A POST with an `Idempotency-Key` may be sent again: the answer is the first one, for a day."""

#: Problems that any route may answer with, and those of routes with a body, of those that do more than
#: look something up, and of conditional ones.
ALWAYS, OF_BODIES, OF_ACTING, OF_CONDITIONAL = (
    (400, 401, 403, 404, 422, 429, 500, 503),
    (408, 413, 415),
    (409,),
    (412,),
)

_HEADERS = {
    "ETag": {"description": "What tells this state from any other.", "schema": {"type": "string"}},
    "Location": {"description": "Where to see how far it is.", "schema": {"type": "string", "format": "uri"}},
    "Retry-After": {"description": "Seconds after which to ask again.", "schema": {"type": "integer", "minimum": 1}},
    "WWW-Authenticate": {"description": "How to show a token.", "schema": {"type": "string"}},
}

#: Values to try a route with, by the name of a field.
_EXAMPLES = {
    "organisation": "acme",
    "learner": "u-1001",
    "course": "safety",
    "segment": "nurses",
    "search": "jans",
    "limit": 100,
}


def document(server: str = BASE) -> dict[str, Any]:
    """The whole document; `server`: where the API is."""
    routes = every_route()
    schemas, components = _schemas(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.act.method.lower()] = _operation(route, schemas, components)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Rollcall", "version": version("rollcall"), "description": ABOUT},
        "servers": [{"url": server}],
        "security": [{"token": []}],
        "tags": [{"name": name} for name in sorted({_tag(route) for route in routes})],
        "paths": dict(sorted(paths.items())),
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "A token of `rollcall tokens add`: rck_…."}
            },
            "responses": {str(status): _problem(status) for status in sorted(KINDS)},
            "headers": _HEADERS,
            "schemas": _reached([paths, ProblemDetails.__name__], components),
        },
    }


def _schemas(routes: list[ActRoute]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The schema of each type, by its `repr`, and what they refer to."""
    kinds: dict[str, Any] = {repr(ProblemDetails): ProblemDetails}
    for route in routes:
        for kind in [route.act.takes, *(field.hint for field in route.known.values()), *_answers(route.act.gives)]:
            kinds.setdefault(repr(kind), kind)
    made, components = msgspec.json.schema_components(list(kinds.values()), ref_template=_REF, schema_hook=_of_file)
    names = {name: _name(name) for name in components}
    schemas = {key: _renamed(schema, names) for key, schema in zip(kinds, made, strict=True)}
    return schemas, {
        names[name]: _renamed(schema, names) | {"title": names[name]} for name, schema in components.items()
    }


def _name(name: str) -> str:
    """What a component is called: one word, as generators of clients name their classes. msgspec writes the module
    before a name that two types have."""
    *where, last = name.split(".")
    told_apart = "".join(part.capitalize() for part in where if part not in {"tasks", "acts", "rules"})
    return told_apart + re.sub(r"_(\w+)_$", r"Of\1", last)


def _of_file(kind: Any) -> dict[str, Any]:
    """The schema of a file in a form."""
    if kind not in {IO[bytes], IO}:
        raise TypeError(f"a field of the API cannot be {kind}: no JSON and no file holds one")
    return {"type": "string", "contentMediaType": "application/octet-stream"}


def _reached(document: Any, components: dict[str, Any]) -> dict[str, Any]:
    """The components that something refers to."""
    found: dict[str, Any] = {}
    left = [document]
    while left:
        said = left.pop()
        if isinstance(said, dict):
            left += said.values()
        elif isinstance(said, list):
            left += said
        elif isinstance(said, str) and (name := said.rpartition("/")[2]) in components and name not in found:
            found[name] = components[name]
            left.append(components[name])
    return dict(sorted(found.items()))


def _renamed(schema: Any, names: dict[str, str]) -> Any:
    """A schema that calls generic types as they are read: a page of learners."""
    if isinstance(schema, list):
        return [_renamed(one, names) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _renamed(one, names) for key, one in schema.items()}
    if isinstance(ref := found.get("$ref"), str):
        name = ref.rpartition("/")[2]
        found["$ref"] = _REF.format(name=names.get(name, name))
    if isinstance(found.get("description"), str):
        found["description"] = re.sub(r"\s+", " ", found["description"]).strip()
    if found.get("enum") == [True]:
        found["const"] = found.pop("enum")[0]
    elif isinstance(enum := found.get("enum"), list) and all(isinstance(one, str) for one in enum):
        found["type"] = "string"
    return found


def _answers(gives: Any) -> Iterator[Any]:
    """The types that an act answers with: what is begun, by its document."""
    for kind in _kinds(gives):
        if get_origin(kind) is Begun:
            yield UnderWay[get_args(kind)[0]]  # type: ignore[misc]
        elif kind not in {Stream, type(None)}:
            yield kind


def _kinds(gives: Any) -> Sequence[Any]:
    """What an act may give: one thing, or one of several."""
    return get_args(gives) if get_origin(gives) in {Union, UnionType} else [gives]


def _operation(route: ActRoute, schemas: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    act = route.act
    about = re.sub(r"\s+", " ", act.does.__doc__ or "").strip()
    said: dict[str, Any] = {
        "operationId": act.name.replace(".", "_"),
        "tags": [_tag(route)],
        "summary": about.partition(". ")[0].rstrip(".") + ".",
        "description": f"{about} For the role {PERMISSIONS[act.name].role}, and those above it.",
        "parameters": [*_parameters(route, schemas)],
        "responses": _responses(route, schemas),
    }
    if route.has_body:
        whole = components[act.takes.__name__]
        fields = {name: one for name, one in whole["properties"].items() if name not in route.in_path}
        needed = [name for name in whole.get("required", []) if name in fields]
        schema = {"type": "object", "properties": fields, "additionalProperties": False}
        schema |= {"required": needed} if needed else {}
        media = "multipart/form-data" if forms.has_file(route.known) else "application/json"
        said["requestBody"] = {"required": bool(needed), "content": {media: {"schema": schema}}}
    return said


def _parameters(route: ActRoute, schemas: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for name in route.in_path:
        schema = schemas[repr(route.known[name].hint)] if name in route.known else {"type": "string"}
        yield _parameter(name, "path", schema, needed=True)
    for name, field in route.known.items():
        if name not in route.in_path and not route.has_body:
            yield _parameter(name, "query", schemas[repr(field.hint)], needed=field.needed)
    if route.act.method == "POST" and route.act.changes:
        key = {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY}
        about = "The same for each repeat of one request: it is done once, and answered the same."
        yield {"name": "Idempotency-Key", "in": "header", "schema": key, "description": about}
    if route.act.method == "GET" and route.tagged:
        about = "The ETag of what you have: if it is the same still, the answer is 304 and nothing more."
        yield {"name": "If-None-Match", "in": "header", "schema": {"type": "string"}, "description": about}
    if route.act.conditional:
        about = "The ETag of what was read: nothing is changed if it is another thing by now."
        yield {"name": "If-Match", "in": "header", "schema": {"type": "string"}, "description": about}


def _parameter(name: str, where: str, schema: dict[str, Any], *, needed: bool) -> dict[str, Any]:
    others = [one for one in schema.get("anyOf", []) if one != {"type": "null"}]
    plain = dict(others[0]) if len(others) == 1 else {"anyOf": others} if others else dict(schema)
    said: dict[str, Any] = {"name": name, "in": where, "required": needed, "schema": plain}
    about = plain.pop("description", None)
    said |= {"description": about} if about else {}
    return said | ({"example": _EXAMPLES[name]} if name in _EXAMPLES else {})


def _responses(route: ActRoute, schemas: dict[str, Any]) -> dict[str, Any]:
    act = route.act
    kinds = _kinds(act.gives)
    tag = {"ETag": {"$ref": "#/components/headers/ETag"}}
    found: dict[str, Any] = {}
    plain = [kind for kind in kinds if get_origin(kind) is not Begun and kind not in {Stream, type(None)}]
    if plain:
        made = [schemas[repr(kind)] for kind in plain]
        schema = made[0] if len(made) == 1 else {"anyOf": made}
        found[str(act.status)] = {"description": HTTPStatus(act.status).phrase, "content": _json(schema)}
        found[str(act.status)] |= {"headers": tag} if route.tagged else {}
        if act.method == "GET" and route.tagged:
            found["304"] = {"description": "It is as you have it.", "headers": tag}
    for kind in kinds:
        if get_origin(kind) is Begun:
            begun = schemas[repr(UnderWay[get_args(kind)[0]])]  # type: ignore[misc]
            where = {"Location": {"$ref": "#/components/headers/Location"}}
            found["202"] = {"description": "It goes on by itself.", "headers": where, "content": _json(begun)}
    if type(None) in kinds:
        found["204"] = {"description": "Done."}
    if Stream in kinds:
        content = {one: {"schema": {"type": "object" if one == "application/json" else "string"}} for one in act.media}
        found["200"] = {"description": "As it is read.", "content": content}
    statuses = {*ALWAYS, *(OF_BODIES if route.has_body else ()), *(OF_ACTING if act.method != "GET" else ())}
    statuses |= {*OF_CONDITIONAL} if act.conditional else set()
    return found | {str(status): {"$ref": f"#/components/responses/{status}"} for status in sorted(statuses)}


def _json(schema: Any) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _problem(status: int) -> dict[str, Any]:
    said: dict[str, Any] = {
        "description": KINDS[status][1],
        "content": {problems.MEDIA_TYPE: {"schema": {"$ref": _REF.format(name="ProblemDetails")}}},
    }
    if status == 400:  # a head that cannot be read is refused before anybody knows what it asks for
        said["content"]["text/plain"] = {"schema": {"type": "string"}}
    headers = {401: "WWW-Authenticate", 429: "Retry-After", 503: "Retry-After"}
    if status in headers:
        said["headers"] = {headers[status]: {"$ref": f"#/components/headers/{headers[status]}"}}
    return said


def _tag(route: ActRoute) -> str:
    return route.act.name.partition(".")[0]


@cache
def served(public_url: str) -> bytes:
    """The document as it is served."""
    return msgspec.json.encode(document(f"{public_url}{BASE}"))
