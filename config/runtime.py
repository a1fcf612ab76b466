"""What a process works with, built once from the settings and handed to what needs it."""

import threading
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from sqlalchemy import Engine

from config.cells import Cells
from config.keys import keys_in
from config.settings import Settings
from config.signed_events import EventsKey


@dataclass(frozen=True, slots=True, repr=False)
class Endpoints:
    """The servers in use, whether the environment names them or they are embedded. There may be no `bounce_address`.
    If there is a `pooler_url`, the database is reached by it for what needs no session of its own.

    It is not written out as other values are: it has passwords and keys, and whoever logs what it is called with,
    as dramatiq does, would say them.
    """

    database_url: str
    redis_url: str
    smtp_url: str
    mail_from: str
    public_url: str
    secret_key: str
    bounce_address: str = ""
    pooler_url: str = ""


@dataclass(frozen=True, slots=True)
class Runtime:
    """Settings, servers and the engine of one process; `stopping` is set when it is to finish what it has begun.
    `cells`: the others, if there are any."""

    settings: Settings
    endpoints: Endpoints
    engine: Engine
    stopping: threading.Event = field(default_factory=threading.Event)
    cells: Cells | None = None

    @property
    def home(self) -> Path:
        """Where local state lives."""
        return self.settings.rollcall_home

    @property
    def events_keys(self) -> list[EventsKey]:
        """The keys that posted events are signed with: the first that signs for an organisation signs, all are
        accepted."""
        if self.settings.rollcall_events_key is not None:
            return [EventsKey.read(key) for key in keys_in(self.settings.rollcall_events_key.get_secret_value())]
        secrets = keys_in(self.endpoints.secret_key)
        old = [EventsKey(key, old=True) for key in secrets] if self.settings.rollcall_events_secret_key else []
        return [*map(EventsKey.made_of, secrets), *old]

    @property
    def lease(self) -> timedelta:
        """How long a worker may be silent before its work is due again."""
        return timedelta(seconds=self.settings.rollcall_lease_seconds)

    @property
    def retry(self) -> timedelta:
        """The first pause before another try."""
        return timedelta(seconds=self.settings.rollcall_retry_seconds)
