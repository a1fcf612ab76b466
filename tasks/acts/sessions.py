"""One's own sessions: where somebody is signed in, and how they end it there. Another's are an operator's to end."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from msgspec import Meta
from sqlalchemy import Connection

from config.errors import NotFound
from tasks import accounts
from tasks.acts.acting import Doing, act
from tasks.acts.paging import Page, PageAsked, keys_after, page

SessionId = Annotated[str, Meta(pattern="^[0-9a-f]{16}$", description="As the list of sessions says it.")]


@dataclass(frozen=True, slots=True)
class OneSession:
    """A session of one's own."""

    id: SessionId


@dataclass(frozen=True, slots=True)
class OtherSessions:
    """All sessions of one's own but one, `keep`."""

    keep: SessionId


@dataclass(frozen=True, slots=True)
class EndedSessions:
    """How many sessions were ended."""

    sessions: int


@act("sessions.list", "GET /sessions")
def list_(doing: Doing, asked: PageAsked) -> Page[accounts.OwnSession]:
    """Where the caller is signed in, the session used last first; nothing for a program."""
    listed = (doing.act, doing.caller.who)
    after = keys_after(asked.after, tuple[datetime, str], *listed)
    idle = doing.runtime.settings.rollcall_session_seconds
    with doing.transaction() as connection:
        account = _own(doing, connection)
        found = (
            accounts.own_sessions(connection, account, after, asked.limit + 1, idle_seconds=idle)
            if account is not None
            else []
        )
    return page(found, asked.limit, lambda one: (one.used_at, one.id), *listed)


@act("sessions.end_one", "DELETE /sessions/{id}")
def end_one(doing: Doing, asked: OneSession) -> EndedSessions:
    """End a session of the caller, at once."""
    with doing.transaction() as connection:
        account = _own(doing, connection)
        if account is None or not accounts.end_own_session(connection, account, asked.id):
            raise NotFound("You have no such session: it has ended already.")
        doing.record(connection, str(account), before={"sessions": 1}, after={"sessions": 0})
    return EndedSessions(1)


@act("sessions.end_others", "POST /sessions/end-others")
def end_others(doing: Doing, asked: OtherSessions) -> EndedSessions:
    """End all sessions of the caller but one, at once."""
    with doing.transaction() as connection:
        account = _own(doing, connection)
        if account is None:
            return EndedSessions(0)
        ended = accounts.end_other_sessions(connection, account, asked.keep)
        doing.record(connection, str(account), before={"others": ended}, after={"others": 0})
    return EndedSessions(ended)


def _own(doing: Doing, connection: Connection) -> int | None:
    """The number of the caller's account; None for a program, whose name is never an address."""
    found = accounts.account_of(connection, accounts.as_email(doing.caller.who) or "")
    return None if found is None else found.account
