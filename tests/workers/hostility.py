"""What hostile inputs are posted to and streamed at: organisations with something of everything, and what is known."""

from collections.abc import Iterable
from random import Random

from tests.events.hostile import LEARNER, OTHERS, Hostile, Signing
from tests.workers.posting import EVENT, Platform, signed
from tests.world import World

#: Tables of what came in and what goes out, of which processes run and of what they counted; all others hold what is
#: known.
AT_THE_EDGES = {"arrivals", "inbox", "outbox", "publication", "alembic_version", "processes", "counted"}

#: Headers that are no signature, each instead of one that is.
ODD: list[dict[str, str | bytes]] = [
    {"webhook-signature": "v1"},
    {"webhook-signature": "v1,=,"},
    {"webhook-signature": b"v1,\xff\xfe"},
    {"webhook-signature": "v1,AAAA " * 300},
    {"webhook-timestamp": "Infinity"},
    {"webhook-timestamp": "-1"},
    {"webhook-timestamp": "9" * 400},
    {"webhook-id": b"\xe9"},
    {"webhook-id": ""},
]


def furnish(world: World) -> None:
    """Give ours something of everything, and let another organisation be known that has none of it."""
    world.send(world.event("organisation.saved", {"name": "Globex", "licence": "seats"}, organisation=OTHERS))
    world.send(world.event("learner.saved", LEARNER))
    world.has_learners("B")
    world.has_segment("nurses", "A")
    world.has_course("safety", "everyone")
    world.has_course("law")
    world.starts("A", "safety")
    world.settle()


def known_things(world: World) -> dict[str, tuple[int, str]]:
    """Of each table, its partitions together, how many rows it has, and a sum of what is in them."""
    tables = world.list(
        """
        SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition
          AND relnamespace = CAST(current_schema() AS regnamespace)
        """
    )
    counted = "SELECT count(*), coalesce(md5(string_agg(CAST(t AS text), ' ' ORDER BY CAST(t AS text))), '') FROM {} t"
    return {
        table: (int(n), str(digest))
        for table in sorted(set(tables) - AT_THE_EDGES)
        for n, digest in world.rows(counted.format(table))
    }


def post(platform: Platform, one: Hostile, key: bytes = b"only for tests") -> int:
    """Post an input signed as it is to be; the status of the answer."""
    random = Random(one.body)  # noqa: S311 - repeatable, not secret
    headers: dict[str, str | bytes] = {"Content-Type": EVENT}
    match one.signing:
        case Signing.RIGHT | Signing.ABSENT:
            headers |= signed(one.body, key) if one.signing is Signing.RIGHT else {}
        case Signing.WRONG:
            headers |= signed(one.body, b"a guess")
        case Signing.OLD:
            headers |= signed(one.body, key, ago=random.choice([400, -400, 10**6]))
        case Signing.ALTERED:
            headers |= signed(one.body + b" ", key)
        case Signing.ODD:
            headers |= signed(one.body, key) | random.choice(ODD)
    return platform.send(one.body, headers).status


def kept(streamed: Iterable[Hostile], posted: Iterable[Hostile]) -> set[bytes]:
    """What is to be found among what could not be taken: all of the stream, and what was signed and is text. Equal
    bytes are one entry."""
    bodies = {one.body for one in streamed}
    return bodies | {one.body for one in posted if one.signing is Signing.RIGHT and is_text(one.body)}


def fits(one: Hostile, status: int) -> bool:
    """Whether this is what is to be answered to it."""
    if one.signing is not Signing.RIGHT:
        return status == 401
    return status == (202 if one.kind == "another organisation's" else 400)


def is_text(body: bytes) -> bool:
    """Whether this is UTF-8."""
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True
