"""How a path is read: in parts, of which some are fields."""

from collections.abc import Sequence


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
