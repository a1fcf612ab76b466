"""How numbers and times are written, wherever Rollcall says one."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec


def counted(n: int, one: str, many: str | None = None) -> str:
    """A number and what it counts: `1 learner`, `1234 learners`; `many` where an s is not enough."""
    return f"{n} {one if n == 1 else many or one + 's'}"


#: Ids named in an error, at most.
FEW = 5


def some_of(ids: Sequence[str]) -> str:
    """A few of these ids, and how many there are besides."""
    more = f" and {len(ids) - FEW} more" if len(ids) > FEW else ""
    return ", ".join(map(repr, ids[:FEW])) + more


def rfc3339(moment: datetime) -> str:
    """A time as a program reads it: RFC 3339, in UTC, to the microsecond. The database's function of this name writes
    the same."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def with_rfc3339(json: bytes, behind: bytes = b'"') -> bytes:
    """JSON as PostgreSQL writes it where the time zone is UTC, the times in it that come right behind this as `rfc3339`
    writes them."""
    moment = re.escape(behind) + rb'(\d{4,}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?\+00:00"'
    return re.sub(moment, lambda found: b'%b%b.%bZ"' % (behind, found[1], (found[2] or b"").ljust(6, b"0")), json)


def as_json(result: object) -> bytes:
    """A result as JSON, its times as `rfc3339` writes them."""
    return msgspec.json.encode(_written(msgspec.to_builtins(result, builtin_types=(datetime,))))


def _written(value: Any) -> Any:
    match value:
        case str() | int() | None:  # as most are
            return value
        case datetime():
            return rfc3339(value)
        case dict():
            return {key: _written(one) for key, one in value.items()}
        case list() | tuple():
            return [_written(one) for one in value]
        case _:
            return value
