"""A server that cannot be used: why, in words that quote nothing; said once when it begins and once when it ends."""

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import urlsplit

import redis
import structlog
from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext

log = structlog.get_logger()

LOST = "the connection was lost"

#: Seconds in which a Redis that hangs up has said why.
LISTEN_SECONDS = 0.5

#: What is wrong, by what the client or the server says, in lower case; the first that fits. libpq gives no SQLSTATE for
#: a connection that failed, and what it says may quote a password that was written in the wrong place of a URL.
_WHY = {
    r"no master found for '[^']*'(\n|$)": "no sentinel knows a primary of the group",
    r"unsupported startup parameter": "a pooler answers there, which DATABASE_POOLER_URL is for",
    r"query_wait_timeout": "all sessions of the pooler are in use",
    r"server_login_retry|server login (failed|has been failing)|pgbouncer cannot connect":
        "the pooler does not reach the server behind it",
    r"no password supplied|noauth|authentication required": "a password is needed, and the URL has none",
    r"(password|sasl) authentication failed|wrongpass|invalid (username|password)|auth failed|called without any pass":
        "the user name or the password is wrong",
    r"local user with id|could not look up (local|effective) user": "the URL names no user, and ours has no name here",
    r'role ".*" does not exist|no such user': "there is no such user",
    r'database ".*" does not exist|no such database|db index is out of range|invalid db index':
        "there is no such database",
    r"no pg_hba.conf entry|pg_hba.conf rejects": "its pg_hba.conf does not let us in from here, or not in this way",
    r"not currently accepting connections": "this database takes no connections",
    r"permission denied for database|is not permitted to log in": "the user may not connect to this database",
    r"noperm|no permissions": "the user may not do this",
    r"error (2|13) connecting to [^/]|could not (read|open|load) .*(certificate|key) file|certificate file .*not exist":
        "a file that the URL names for encryption cannot be read",
    r"certificate has expired": "its certificate has expired",
    r"does not match host name|hostname mismatch|ip address mismatch|not valid for":
        "its certificate is for another name",
    r"certificate|self.signed": "its certificate cannot be verified",
    r"does not support ssl|server sent data before|rejected ssl": "it does not encrypt, and the URL asks for that",
    r"ssl connection has been closed|ssl syscall error: eof": LOST,
    r"\bssl|\btls|wrong version number": "no encrypted connection came about",
    r"too many (clients|connections)|connection slots|max number of clients|no more connections|max_client_conn":
        "it has too many connections",
    r"queuepool limit": "all connections of this process are in use",
    r"translate host name|not known|name resolution|getaddrinfo|nodename nor|no address associated|resolve host":
        "the name of its host is not known",
    r"connection refused|errno 111|error 111\b": "nothing listens there",
    r"no such file or directory": "there is no such socket",
    r"permission denied": "we may not use its socket",
    r"no route to host|network is unreachable|host is unreachable": "no way leads to its host",
    r"timeout|timed out": "it does not answer in time",
    r"starting up|loading|not yet accepting": "it is starting",
    r"shutting down|administrator command|shutdown": "it is stopping",
    r"recovery mode|crash of another": "it is recovering from a crash",
    r"read.?only": "it only lets read, as a replica does",
    r"oom command|out of memory|maxmemory": "its memory is full",
    r"misconf|no space left|disk is full|could not extend": "it cannot write to its disk",
    r"closed|reset by peer|broken pipe|eof|lost|terminated|bad connection|conn crashed": LOST,
}  # fmt: skip


#: What Redis answers while it cannot be used, or not by us, though it is there.
_UNUSABLE = ("LOADING", "READONLY", "OOM", "MISCONF", "NOPERM", "NOAUTH", "WRONGPASS", "MASTERDOWN", "CLUSTERDOWN")


def is_redis_outage(problem: BaseException) -> bool:
    """Whether Redis cannot be used: nothing is wrong with what was asked of it."""
    if isinstance(problem, redis.ResponseError):
        kinds = (redis.exceptions.ReadOnlyError, redis.exceptions.OutOfMemoryError, redis.exceptions.NoPermissionError)
        return isinstance(problem, kinds) or str(problem).startswith(_UNUSABLE)
    return isinstance(problem, (redis.ConnectionError, redis.TimeoutError))


def _chain(problem: BaseException | None) -> Iterator[BaseException]:
    """A problem and what led to it, the outermost first."""
    seen: set[int] = set()
    while problem is not None and id(problem) not in seen:
        seen.add(id(problem))
        yield problem
        problem = problem.__cause__ or problem.__context__


def why(problem: BaseException, redis_url: str = "") -> str:
    """Why PostgreSQL or Redis cannot be used, in our own words: nothing is quoted, so that no secret comes along.

    A Redis with too many connections says so and hangs up, which is lost where we spoke first: it is listened to, at
    `redis_url`, where the connection was lost.
    """
    said = "\n".join(str(getattr(one, "orig", None) or one) for one in _chain(problem)).lower()
    reason = _reason(problem, said)
    if redis_url and reason == LOST and isinstance(problem, redis.RedisError):
        return _reason(problem, _first_words(redis_url) or said)
    return reason


def _first_words(redis_url: str) -> str:
    """What a Redis says to whoever says nothing: nothing, unless it hangs up."""
    parts = urlsplit(redis_url)
    with suppress(OSError, ValueError), socket.socket(socket.AF_INET if parts.hostname else socket.AF_UNIX) as line:
        line.settimeout(LISTEN_SECONDS)
        line.connect((parts.hostname, parts.port or 6379) if parts.hostname else parts.path)
        return line.recv(100).decode(errors="replace").lower()
    return ""


def _reason(problem: BaseException, said: str) -> str:
    for pattern, reason in _WHY.items():
        if re.search(pattern, said):
            return reason
    innermost = getattr(problem, "orig", None) or problem
    state = getattr(innermost, "sqlstate", None)
    return f"{type(innermost).__name__}{f' ({state})' if state else ''}"


class Outage:
    """Whether a server can be used, as this process knows it. Any thread may say so, as often as it finds out."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._since: float | None = None
        self._lock = threading.Lock()

    @property
    def under_way(self) -> bool:
        """Whether it could not be used when it was asked last."""
        return self._since is not None

    def begin(self, problem: BaseException, url: str = "") -> None:
        """It cannot be used; where it may be asked why, at its URL."""
        with self._lock:
            if self._since is not None:
                return
            self._since = time.monotonic()
        log.warning("server.away", server=self._server, why=why(problem, url))

    def end(self) -> None:
        """It can."""
        if self._since is None:
            return
        with self._lock:
            since, self._since = self._since, None
        if since is not None:
            log.info("server.back", server=self._server, after_seconds=round(time.monotonic() - since, 1))


POSTGRESQL = Outage("postgresql")
REDIS = Outage("redis")


def watch(engine: Engine) -> None:
    """Say when the database cannot be used and when it can again, whatever asked it."""

    @event.listens_for(engine, "handle_error")
    def _failed(context: ExceptionContext) -> None:
        connecting = context.connection is None
        if not context.is_pre_ping and (connecting or context.is_disconnect):
            POSTGRESQL.begin(context.original_exception)

    @event.listens_for(engine, "checkout")
    def _works(*_: object) -> None:
        POSTGRESQL.end()
