"""Tables that are divided by month, as if that had been done some months ago."""

from datetime import datetime

from tasks import retention
from tests.world import World
from workers.relay.retention import KeepPartitions

#: What numbers mailings.
SEQUENCE = "pg_get_serial_sequence('mailings', 'mailing')"


def keep(world: World, **kept: int) -> float | None:
    """The relay's chore, once, with these settings; when it is due again."""
    settings = world.runtime.settings.model_copy(update=kept)
    return KeepPartitions(type(world.runtime)(settings, world.runtime.endpoints, world.runtime.engine)).do()


def names(world: World) -> list[str]:
    """The partitions of all tables."""
    with world.runtime.engine.connect() as connection:
        return [one.name for one in retention.partitions(connection)]


def where(world: World, table: str) -> dict[str, int]:
    """How many rows of a table lie in which partition."""
    return dict(world.rows(f"SELECT CAST(tableoid::regclass AS text), count(*) FROM {table} GROUP BY 1"))


def divided(world: World, table: str, months: int) -> datetime:
    """Have the first partition end so many months before this one, as if the table had been divided then; when that
    is."""
    end: datetime = world.ask(
        "SELECT (date_trunc('month', now() AT TIME ZONE 'UTC') - make_interval(months => :n)) AT TIME ZONE 'UTC'",
        n=months,
    )
    bound = world.ask("SELECT number_of_month(:end)", end=end) if table == "deliveries" else end
    world.execute(f"ALTER TABLE {table} DETACH PARTITION {table}_before")
    world.execute(f"ALTER TABLE {table} ATTACH PARTITION {table}_before FOR VALUES FROM (MINVALUE) TO ('{bound}')")
    return end


def of(table: str, month: datetime) -> str:
    """The partition of a month."""
    return f"{table}_{month:%Y_%m}"


def numbered_in(world: World, months: int, *, made: bool = True) -> datetime:
    """Have the ledger divided so many months before this one, and mailings numbered in that month: it and those after
    it are there, if they are `made`. When it began."""
    month = divided(world, "deliveries", months)
    if made:
        keep(world, rollcall_keep_deliveries_days=1000)
    world.execute(f"SELECT setval({SEQUENCE}, number_of_month(:month))", month=month)
    return month


def ages(world: World, days: int, *announcements: str) -> None:
    """These announcements, or all mailings, were launched, and ended if they did, so many days earlier."""
    world.settle()
    for moment in ("launched_at", "finished_at", "counted_at"):
        world.execute(
            f"UPDATE mailings SET {moment} = {moment} - make_interval(days => :days)"
            " WHERE id = ANY(:ids) OR cardinality(CAST(:ids AS text[])) = 0",
            days=days,
            ids=list(announcements),
        )
