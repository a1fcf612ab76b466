"""Tells the planner of tables that have grown."""

import structlog

from config.database import autocommit
from config.runtime import Runtime
from tasks import system
from workers.relay.chore import Chore

log = structlog.get_logger()


class AnalyzeGrown(Chore):
    """Takes the planner's statistics of tables that have grown: a new installation, a new month, a large import."""

    name = "statistics"
    seconds = 5.0
    beside = True

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime)
        self._left: set[str] = set()

    def do(self) -> None:
        """Take them, a table after the other."""
        with autocommit(self.runtime.engine) as connection:
            if tables := system.analyze_grown(connection, self._left):
                log.info("tables.grown", tables=tables)
