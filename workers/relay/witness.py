"""Looks whether the database was restored from a backup; else remembers in the home how far it has come."""

from config.database import autocommit, transaction
from config.runtime import Runtime
from tasks import mail
from workers.relay.chore import Chore


class WatchWitness(Chore):
    """Watches for a restored database, of which no mail may leave."""

    name = "witness"
    seconds = 3.0

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime)
        self._witness = mail.Witness(runtime.endpoints.redis_url, runtime.home)

    def do(self) -> None:
        """Hold all mail if the database was restored."""
        with autocommit(self.runtime.engine) as connection:
            if self._witness.keeps_up(connection):
                return
        with transaction(self.runtime.engine) as connection:
            mail.notice_restore(connection, self._witness)
