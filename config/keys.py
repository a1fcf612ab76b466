"""Keys in settings: those that sign links and events, and the one that signs mail."""

from pathlib import Path

from config.signed_events import MOST_KEYS, PREFIX, EventsKey, decoded_key

#: Characters of a key at least, and bytes of one in base64 (Standard Webhooks has 24 of them made).
SHORTEST_KEY = 8
LEAST_KEY_BYTES = 16


def keys_in(secret_key: str) -> list[str]:
    """The keys in `SECRET_KEY`: the first one signs, all are accepted, so that one can take another's place."""
    return [key for key in map(str.strip, secret_key.split(",")) if key]


def refuse_weak_keys(secret_key: str) -> None:
    """Raises ValueError for a `SECRET_KEY` in which a key is too short, or none is."""
    keys = keys_in(secret_key)
    if not keys:
        raise ValueError("holds no key")
    for number, one in enumerate(keys, 1):
        if len(one) < SHORTEST_KEY:
            raise ValueError(
                f"key {number} is shorter than {SHORTEST_KEY} characters: openssl rand -base64 32 makes one"
            )


def refuse_weak_events_keys(events_key: str) -> None:
    """Raises ValueError for a `ROLLCALL_EVENTS_KEY` with too many keys, or with one in base64 that is none, or is too
    short."""
    found = [EventsKey.read(one).key for one in keys_in(events_key)]
    if len(found) > MOST_KEYS:
        raise ValueError(f"holds {len(found)} keys, and {MOST_KEYS} at most are accepted at once")
    for number, one in enumerate(found, 1):
        if one.startswith(PREFIX) and (decoded := decoded_key(one.removeprefix(PREFIX))) is None:
            raise ValueError(f"after {PREFIX} comes base64, and in key {number} it does not")
        if one.startswith(PREFIX) and len(decoded or b"") < LEAST_KEY_BYTES:
            raise ValueError(f"key {number} is shorter than {LEAST_KEY_BYTES} bytes: openssl rand -base64 32 makes one")


def pem_of(key: str) -> str:
    """The PEM that `DKIM_KEY` is or names, once it is known to be a key."""
    from config.signing import read_key

    pem = key.replace("\\n", "\n")
    if "-----BEGIN" not in pem:
        try:
            pem = Path(key).read_text(encoding="ascii")
        except (OSError, ValueError):  # its message would quote what stands there, and that may be a key
            raise ValueError("is neither a private key in PEM nor a file that can be read") from None
    read_key(pem)
    return pem.strip() + "\n"
