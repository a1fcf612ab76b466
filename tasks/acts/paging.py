"""Answers that have no end, or have not come yet: pages, streams, and where a result will be."""

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec
from msgspec import Meta

from config.errors import BadField, Invalid

Item = TypeVar("Item")
Keys = TypeVar("Keys", bound=tuple[Any, ...])
Result = TypeVar("Result")

#: Items of a page at most, and if nobody says how many.
MOST, USUAL = 1000, 100

#: Characters of a cursor at most: the longest keys that an index takes are shorter.
LONGEST_CURSOR = 4096

#: How many items a page has.
Limit = Annotated[int, Meta(ge=1, le=MOST, description="How many items to answer with at most.")]

#: Where a page begins.
After = Annotated[
    str,
    Meta(max_length=LONGEST_CURSOR, description="`next` of the page before; it means nothing to anybody else."),
]


@dataclass(frozen=True, slots=True)
class PageAsked:
    """Which part of a list."""

    limit: Limit = USUAL
    after: After | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """Some items of a list; `next` begins the following page, and is null after the last item."""

    items: list[Item]
    next: str | None


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer of any length, block by block. `blocks` opens a transaction of its own when the first is taken, and is
    taken in one thread at a time; `name`: what a file of it is called."""

    media_type: str
    blocks: Iterator[bytes]
    name: str | None = None


@dataclass(frozen=True, slots=True)
class UnderWay(Generic[Result]):
    """How far something is that takes long: `done` of `total`, and its result, which is null until then."""

    state: Literal["running", "done", "failed"]
    done: int
    total: int
    result: Result | None = None


@dataclass(frozen=True, slots=True)
class Begun(Generic[Result]):
    """Something that takes long is under way. `location`: the path of its document, below the organisation's."""

    location: str
    document: UnderWay[Result]


def keys_after(cursor: str | None, keys: type[Keys], *listed: object) -> Keys | None:
    """The key values after which a page begins; None if it is the first. `listed`: the name of the list, its
    organisation and its filters. Raises `Invalid` for a cursor of another list, or of other filters, and for none."""
    if cursor is None:
        return None
    found: Keys | None = None
    try:
        packed = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        of, found = msgspec.msgpack.decode(packed, type=tuple[bytes, keys])  # type: ignore[valid-type]
    except (ValueError, msgspec.MsgspecError):
        of = b""
    if of != _mark(listed) or any(isinstance(one, str) and "\0" in one for one in found or ()):
        what = "It is not `next` of a page of this list with the same search and filters."
        raise Invalid("`after` does not belong to this list: begin again without it.", [BadField("/after", what)])
    return found


def page(found: Sequence[Item], limit: int, keys: Callable[[Item], tuple[Any, ...]], *listed: object) -> Page[Item]:
    """A page of what was found, which is one item more than the page has where there are more. `keys`: what the list is
    ordered by, of an item; `listed`: see `keys_after`."""
    items = list(found[:limit])
    return page_ending_at(items, keys(items[-1]) if len(found) > limit else None, *listed)


def page_ending_at(items: Sequence[Item], keys: tuple[Any, ...] | None, *listed: object) -> Page[Item]:
    """A page, and after which keys the next begins; None if there is none."""
    if keys is None:
        return Page(list(items), None)
    packed = msgspec.msgpack.encode((_mark(listed), keys))
    return Page(list(items), urlsafe_b64encode(packed).rstrip(b"=").decode())


def _mark(listed: tuple[object, ...]) -> bytes:
    return hashlib.sha256(msgspec.json.encode(listed)).digest()[:8]
