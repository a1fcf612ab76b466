"""Everyone is counted by those whom no mail may go to, and that comes to what the gate says of each: R16."""

from random import Random

import pytest

from tasks import mail
from tasks.mail import AudienceVerdict, MergeField
from tests.world import World

NAMES = {MergeField.FIRST_NAME, MergeField.LAST_NAME}

#: How a learner may stand, be reached and be called: each as good as the others.
STANDINGS = ("active", "active", "active", "active", "inactive", "unsaved", "deleted")
ADDRESSES = (None, "", "{n}@x.example", "{N}@X.example", "SHARED@x.example", "shared@X.example", "İ{n}@x.example")
NAMED = (None, "", " \t", "\x7f ", "\u2028\u200f", "Ann", "~", "O\u2028B")

_LEARNERS = """
    INSERT INTO learners (organisation, learner, id, standing, version, saved_version, saved_at, email, first_name,
                          last_name)
    SELECT :org, n, 'L' || n, CAST(standing AS standing), 1, 1, now(), email, first_name, last_name
    FROM unnest(CAST(:standings AS text[]), CAST(:emails AS text[]), CAST(:firsts AS text[]), CAST(:lasts AS text[]))
         WITH ORDINALITY AS new (standing, email, first_name, last_name, n)
"""

#: By their address, as the gate compares them.
_SUPPRESSED = """
    INSERT INTO suppressions (organisation, address, reason)
    SELECT DISTINCT CAST(:org AS int), mail_key(address), 'by hand' FROM unnest(CAST(:addresses AS text[])) AS address
"""


def populate(world: World, org: int, chance: Random, many: int) -> None:
    """So many learners who stand, are reached and are called in any way; some unsubscribed, some are suppressed."""
    emails = [
        address and address.format(n=f"a{n}", N=f"A{n}") for n in range(many) for address in [chance.choice(ADDRESSES)]
    ]
    world.execute(
        _LEARNERS,
        org=org,
        standings=chance.choices(STANDINGS, k=many),
        emails=emails,
        firsts=chance.choices(NAMED, k=many),
        lasts=chance.choices(NAMED, k=many),
    )
    world.execute(
        "UPDATE organisations SET learners = :many WHERE organisation = CAST(:org AS int)", org=org, many=many
    )
    numbers = chance.sample(range(1, many + 1), many // 5)
    world.execute("INSERT INTO unsubscribed SELECT :org, unnest(CAST(:numbers AS int[]))", org=org, numbers=numbers)
    theirs = [email.swapcase() for email in emails if email and chance.random() < 0.3]
    world.execute(_SUPPRESSED, org=org, addresses=[*theirs, "nobody@x.example"])


def counted(world: World, organisation: str, fields: set[MergeField]) -> list[AudienceVerdict]:
    """Everyone, as they are counted."""
    with world.about(organisation) as (connection, org):
        return sorted(mail.judged_everyone(connection, org.organisation, fields), key=lambda one: one.verdict)


def asked_of_each(world: World, organisation: str, fields: set[MergeField]) -> list[AudienceVerdict]:
    """The same, as the gate says of each; of a name only if they would get it."""
    with world.about(organisation) as (connection, org):
        found = mail.judged_audience(connection, org.organisation, {"everyone": True}, fields)
    return [one if one.verdict == "send" else AudienceVerdict(one.verdict, one.n, 0, 0, 0, 0) for one in found]


@pytest.mark.parametrize("seed", range(12))
def test_r16_everyone_is_counted_as_the_gate_judges_each(seed: int, world: World) -> None:
    neighbour = World(world.runtime, world.redis, world.mail, "neighbour")
    neighbour.has_organisation()
    numbers = dict(world.rows("SELECT id, organisation FROM organisations"))
    chance = Random(seed)  # noqa: S311 - not for secrets
    for number in numbers.values():
        populate(world, number, chance, 40)

    for organisation in numbers:
        for fields in (set[MergeField](), NAMES):
            assert counted(world, organisation, fields) == asked_of_each(world, organisation, fields)


def test_r16_nobody_is_counted_where_there_is_nobody(world: World) -> None:
    assert counted(world, "acme", NAMES) == asked_of_each(world, "acme", NAMES) == []
