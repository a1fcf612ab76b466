"""Counting, where it takes longer than somebody who opens a page would wait."""

from datetime import timedelta

from config import clock
from config.database import retrying, transaction
from config.runtime import Runtime
from tasks import organisations, work
from tasks.analytics import store
from tasks.work import actor


@actor("analytics.count")
def count(runtime: Runtime, piece: work.Piece) -> None:
    """Count an organisation, and keep what it came to. It reads, and stands in nobody's way."""
    for attempt in retrying():
        with attempt, transaction(runtime.engine, piece.organisation) as connection:
            since = clock.now().date() - timedelta(days=store.DAYS)
            store.count_all(connection, organisations.numbered(connection, piece.organisation), since)
            work.finish(connection, piece)
