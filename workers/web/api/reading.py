"""How what is asked comes out of a request: path and query as text, the body as JSON, each field by its type."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from datetime import UTC, datetime
from functools import cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl

import msgspec

from config.errors import BadField, Invalid

#: Fields of a query at most.
MOST_FIELDS = 200

#: Errors named at most.
MOST_ERRORS = 50

#: Where msgspec says that something is wrong.
_AT = re.compile(r"^(?P<says>.*?)(?: - at `(?P<where>[^`]*)`)?$", re.DOTALL)
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")


@dataclass(frozen=True, slots=True)
class ActField:
    """A field of what an act takes. `many`: it is a list."""

    name: str
    hint: Any
    needed: bool
    many: bool


def fields_of(kind: type) -> dict[str, ActField]:
    """The fields of a dataclass or struct, by name."""
    hints = get_type_hints(kind, include_extras=True)
    if is_dataclass(kind):
        needed = {one.name: one.default is MISSING and one.default_factory is MISSING for one in fields(kind)}
    else:
        needed = {one.name: one.required for one in msgspec.structs.fields(kind)}
    return {name: ActField(name, hints[name], needs, _is_list(hints[name])) for name, needs in needed.items()}


def _is_list(hint: Any) -> bool:
    if get_origin(hint) is list:
        return True
    return any(_is_list(one) for one in get_args(hint))


def in_query(query: bytes, known: Mapping[str, ActField]) -> dict[str, Any]:
    """The fields of a query, those that are lists by all their values. Raises `Invalid`."""
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict")
    except ValueError:
        raise Invalid("The query cannot be read: it is no form in UTF-8, or too long.") from None
    return in_pairs(pairs, known)


def in_pairs(pairs: Iterable[tuple[str, str]], known: Mapping[str, ActField]) -> dict[str, Any]:
    """The fields of a query or a form, those that are lists by all their values. Raises `Invalid`."""
    found: dict[str, Any] = {}
    errors = []
    for name, value in pairs:
        if name not in known:
            errors.append(BadField(pointer(name), "There is no such parameter."))
        elif known[name].many:
            found.setdefault(name, []).append(value)
        elif name in found:
            errors.append(BadField(pointer(name), "It is given more than once."))
        else:
            found[name] = value
    if errors:
        raise Invalid("What was sent cannot be taken: see errors.", errors[:MOST_ERRORS])
    return found


def in_body(body: bytes) -> dict[str, Any]:
    """The fields of a body. Raises `Invalid`."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise Invalid("The body is not JSON.", [BadField("", str(problem))]) from None
    if not isinstance(found, dict):
        raise Invalid("The body is not a JSON object.", [BadField("", "An object is needed.")])
    return found


def read(
    kind: Callable[..., Any],
    known: Mapping[str, ActField],
    path: Mapping[str, str],
    more: Mapping[str, Any],
    *,
    strict: bool,
) -> Any:
    """What is asked, as the act takes it. `strict`: numbers in `more` are no text. Raises `Invalid`, with all fields
    that are wrong."""
    errors, values = [], {}
    for name, field in known.items():
        if name not in path and name not in more:
            if field.needed:
                errors.append(BadField(pointer(name), "It is missing."))
            continue
        value = path.get(name, more.get(name))
        try:
            errors += unknown_in(field.hint, value, [name])
            errors += [BadField(where, "It has a NUL character.") for where in nul_in(value, [name])]
            as_text = name in path or not strict
            hint = _of_text(field.hint) if as_text else field.hint
            values[name] = _in_utc(msgspec.convert(value, hint, strict=not as_text or _is_only_a_time(hint)))
        except msgspec.ValidationError as problem:
            errors.append(_bad_field(name, str(problem)))
        except OverflowError:
            errors.append(BadField(pointer(name), "It is a time that UTC does not have."))
    errors += [BadField(pointer(name), "There is no such field.") for name in more if name not in known or name in path]
    if errors:
        raise Invalid("What was sent cannot be taken: see errors.", errors[:MOST_ERRORS])
    try:
        return kind(**values)
    except ValueError as problem:
        raise Invalid(str(problem)) from None


def may_be(known: Mapping[str, ActField], path: Mapping[str, str]) -> bool:
    """Whether what stands in a path can be values of its fields at all."""
    try:
        for name, text in path.items():
            if name in known:
                msgspec.convert(text, _of_text(known[name].hint), strict=False)
    except msgspec.ValidationError:
        return False
    return True


def unknown_in(hint: Any, value: Any, at: Sequence[str | int]) -> list[BadField]:
    """The fields in a value that its type does not have, however deep."""
    if isinstance(value, list):
        inner = next((get_args(one)[0] for one in _alternatives(hint) if get_origin(one) is list), None)
        if inner is None or _is_plain(inner):
            return []
        return [bad for n, one in enumerate(value) for bad in unknown_in(inner, one, [*at, n])]
    if not isinstance(value, dict):
        return []
    kinds = [one for one in _alternatives(hint) if is_dataclass(one) or _is_struct(one)]
    if len(kinds) != 1:
        return []
    known = fields_of(kinds[0])
    return [
        bad
        for name, one in value.items()
        for bad in (
            unknown_in(known[name].hint, one, [*at, name])
            if name in known
            else [BadField(pointer(*at, name), "There is no such field.")]
        )
    ]


def nul_in(value: Any, at: Sequence[str | int]) -> list[str]:
    """Where in a value a text has a NUL, which no database takes."""
    match value:
        case str():
            return [pointer(*at)] if "\0" in value else []
        case list():
            return [where for n, one in enumerate(value) for where in nul_in(one, [*at, n])]
        case dict():
            named = [pointer(*at) for name in value if "\0" in name]
            return named + [where for name, one in value.items() for where in nul_in(one, [*at, name])]
    return []


def _alternatives(hint: Any) -> list[Any]:
    """The types that a value may have: those of a union, each without its limits."""
    if hasattr(hint, "__metadata__"):
        return _alternatives(hint.__origin__)
    if get_origin(hint) in {list, dict, tuple} or not get_args(hint):
        return [hint]
    return [found for one in get_args(hint) for found in _alternatives(one)]


@cache
def _of_text(hint: Any) -> Any:
    """What a text may say: not null, as msgspec would read the text `null`."""
    if hasattr(hint, "__metadata__"):
        return Annotated[(_of_text(hint.__origin__), *hint.__metadata__)]
    if get_origin(hint) not in {Union, UnionType}:
        return hint
    return Union[tuple(_of_text(one) for one in get_args(hint) if one is not type(None))]  # noqa: UP007


def _is_only_a_time(hint: Any) -> bool:
    """Whether a number is no value of it, though msgspec would read one as seconds since 1970."""
    kinds = _alternatives(hint)
    return datetime in kinds and int not in kinds


def _in_utc(value: Any) -> Any:
    """A time in UTC: PostgreSQL refuses offsets that others allow. Raises OverflowError."""
    return value.astimezone(UTC) if isinstance(value, datetime) else value


def _is_plain(hint: Any) -> bool:
    return not any(is_dataclass(one) or _is_struct(one) or get_origin(one) for one in _alternatives(hint))


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def pointer(*steps: str | int) -> str:
    """A place in what was sent (RFC 6901)."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)


def _bad_field(name: str, problem: str) -> BadField:
    """What msgspec says of a field, with the place that it says in its own way as a pointer."""
    found = _AT.match(problem)
    says, where = (found["says"], found["where"] or "") if found else (problem, "")
    steps = [field or place for field, place in _STEP.findall(where)]
    return BadField(pointer(name, *(step for step in steps if step != "...")), f"{says}.")
