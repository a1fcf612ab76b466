"""What is forgotten of the events in that `inbox` has: what they say, and in the end what was decided (R32, R35).

That events came is in `arrivals`, and goes by whole periods: `tasks/retention`. What came before there was such a table
goes with its row here.
"""

from datetime import timedelta

from sqlalchemy import Connection

from config.database import execute, is_true
from config.sql import query

#: Events forgotten in one transaction.
MOST = 5_000

#: What the ledger and the histories are made of; such an event names a person by an id alone.
FACTS = ["platform.course.started", "platform.course.completed", "platform.learner.status_changed"]


#: Whether there may be any: of ids, as far as the first row tells.
_ANY = """
    SELECT EXISTS (SELECT FROM (SELECT arrived_at FROM inbox ORDER BY seq LIMIT 1) AS first
                   WHERE arrived_at < now() - CAST(:ids AS interval))
        OR EXISTS (SELECT FROM inbox WHERE state = 'quarantined' AND arrived_at < now() - CAST(:payloads AS interval))
"""


def anything_to_forget(connection: Connection, payload_days: int, id_days: int) -> bool:
    """Whether there may be something for the other two to do."""
    return is_true(connection, _ANY, payloads=timedelta(days=payload_days), ids=timedelta(days=id_days))


def forget_payloads(connection: Connection, days: int) -> int:
    """Discard what has been quarantined for so many days, but facts, a few thousand at once; how many."""
    why = f"nobody decided on it for {days} days (ROLLCALL_KEEP_EVENTS_DAYS)"
    return execute(
        connection, query("events.forget_payloads"), kept=timedelta(days=days), facts=FACTS, most=MOST, why=why
    )


def forget_ids(connection: Connection, days: int) -> int:
    """Delete what arrived so many days ago, but what waits, a few thousand at once; how many."""
    return execute(connection, query("events.forget_ids"), kept=timedelta(days=days), most=MOST)
