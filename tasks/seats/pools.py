"""The pool: what is used of it, under which terms, and who is warned when it runs out."""

from collections.abc import Sequence

from sqlalchemy import Connection

from config.database import column, execute, integer
from config.sql import query
from tasks import mail
from tasks.events import emit
from tasks.organisations import Organisation
from tasks.seats.rules import Crossing, period_of, reached, terms, unit_of
from tasks.seats.store import charging


def terms_changed(
    connection: Connection, before: Organisation | None, now: Organisation, cause: tuple[str, str]
) -> None:
    """An organisation was described anew: where licence, pool or period are others than before, what is used is counted
    anew, and its admins are warned if it is most of the pool, or all, as it is now."""
    if before is None or terms(before) == terms(now):
        return
    used = count_anew(connection, now)
    warn(connection, now, [Crossing(percent, used, cause) for percent in reached(now.pool, used)])


def count_anew(connection: Connection, organisation: Organisation) -> int:
    """Count what is used in the period as it is now, from the ledger; how much."""
    return integer(
        connection,
        query("seats.count_anew"),
        organisation=organisation.organisation,
        **charging(organisation),
        pool=organisation.pool,
    )


def warn(connection: Connection, organisation: Organisation, crossed: Sequence[Crossing]) -> None:
    """Tell the platform of each percent reached, and the admins of the highest, in one mail: once for a pool of one
    size in a licence period, whatever happens to it."""
    if not crossed:
        return
    number, unit = organisation.organisation, unit_of(organisation).value
    new = column(
        connection,
        """
        INSERT INTO pool_warnings (organisation, unit, period, pool, percent, used)
        SELECT :organisation, :unit, :period, :pool, percent, used
        FROM unnest(CAST(:percents AS int[]), CAST(:used AS bigint[])) AS new (percent, used)
        ON CONFLICT DO NOTHING RETURNING percent
        """,
        organisation=number,
        unit=unit,
        period=period_of(organisation),
        pool=organisation.pool,
        percents=[crossing.percent for crossing in crossed],
        used=[crossing.used for crossing in crossed],
    )
    told = [crossing for crossing in crossed if crossing.percent in new]
    if not told:
        return
    emit(
        connection,
        number,
        "rollcall.pool.reached",
        [
            {
                "unit": unit,
                "percent": crossing.percent,
                "used": crossing.used,
                "pool": organisation.pool,
                "licence_starts": organisation.licence_starts,
                "licence_ends": organisation.licence_ends,
            }
            for crossing in told
        ],
    )
    figures = {"unit": unit, "used": told[-1].used, "pool": organisation.pool}
    mail.notify_admins(connection, number, mail.Kind.SEATS, told[-1].cause, organisation.admin_emails, figures=figures)


def recount(connection: Connection, organisation: Organisation) -> None:
    """Make every balance the sum of its entries again; the caller holds the organisation's lock."""
    number = organisation.organisation
    execute(
        connection,
        """
        INSERT INTO balances (organisation, unit, period, used, ends, through)
        SELECT :organisation, c.unit, c.period, 0, c.period, max(c.consumption) FROM consumptions c
        WHERE c.organisation = :organisation GROUP BY c.unit, c.period
        ON CONFLICT DO NOTHING
        """,
        organisation=number,
    )
    count_anew(connection, organisation)
    execute(
        connection,
        """
        UPDATE balances b SET used = (
            SELECT coalesce(sum(c.amount), 0) FROM consumptions c
            WHERE c.organisation = :organisation AND c.unit = b.unit AND counts_in(c, b))
        WHERE b.organisation = :organisation
        """,
        organisation=number,
    )
