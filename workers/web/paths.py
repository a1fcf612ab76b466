"""How a path is read: in parts, of which some are fields."""

from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

from starlette.convertors import PathConvertor, register_url_convertor


class _Anything(PathConvertor):
    """The rest of a path, with ends of lines, which Starlette's own `path` does not match: an id may hold one."""

    regex = "(?s:.*)"


register_url_convertor("anything", _Anything())


def path_of(public_url: str) -> str:
    """Where everything stands, with no slash at the end."""
    return urlsplit(public_url).path.rstrip("/")


def prefixes(public_url: str) -> set[str]:
    """The path of `PUBLIC_URL` and none: a proxy in front may take it away or leave it."""
    return {"", path_of(public_url)}


def below(base: str, prefix: str, raw_path: bytes) -> list[str]:
    """The segments of a path below a base, which stands behind a prefix or not, each decoded by itself: an id may hold
    a slash. Raises `ValueError` for what cannot be decoded."""
    raw = raw_path.partition(b"?")[0].decode("ascii")
    parts = [unquote(part, errors="strict") for part in raw.split("/")[1:]]
    own = base.split("/")[1:]
    depth = 0 if parts[: len(own)] == own else prefix.count("/")
    return parts[depth + len(own) :]


def fields_in(pattern: Sequence[str], parts: Sequence[str]) -> dict[str, str] | None:
    """What stands where a pattern has `{field}`; None if the path is another. No field is empty."""
    if len(parts) != len(pattern):
        return None
    found = {}
    for own, part in zip(pattern, parts, strict=True):
        if own.startswith("{") and part:
            found[own[1:-1]] = part
        elif own != part:
            return None
    return found
