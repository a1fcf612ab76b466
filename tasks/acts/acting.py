"""How an act is declared, and how it is done: permission asked, and refusals written down, whichever door it is."""

import hashlib
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar, get_type_hints

from sqlalchemy import Connection
from sqlalchemy.exc import DataError, ProgrammingError

from config.database import autocommit, enter_tenant_role, execute, transaction
from config.errors import Forbidden, NotFound, Stale, UserError
from config.locks import SUBJECT_LOCK
from config.pooler import session_engine
from config.runtime import Runtime
from config.words import as_json
from tasks import audit, cells, organisations
from tasks.accounts import PERMISSIONS, Caller, Door, Scope, permits
from tasks.organisations import Organisation

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


#: The source of events by the door that they come through.
SOURCES = {Door.COMMAND: "cli", Door.API: "api", Door.CONSOLE: "console", Door.SCIM: "scim"}

#: SQLSTATEs of a role, or a function that names it, that is not there.
LACKING = {"22023", "42883"}

#: What ids of events are made from, if a request may be repeated.
_EVENTS = uuid.UUID("5f1f0c5a-3c1e-4bb6-9f6c-0a4d7f0e6c11")


@dataclass(frozen=True, slots=True)
class Nothing:
    """What is asked of an act that needs to know nothing."""


@dataclass(frozen=True, slots=True)
class Doing:
    """One act while it is done. `organisation` is what it is about, if its scope is one.

    `expected`: the tag of what the caller saw, if the act is to change nothing else; `key`: the same for each repeat of
    one request, if there may be repeats.
    """

    runtime: Runtime
    caller: Caller
    act: str
    about: Organisation | None
    expected: str | None = None
    key: str | None = None

    @property
    def organisation(self) -> Organisation:
        """The organisation that the act is about."""
        assert self.about is not None, f"{self.act} is about no organisation"  # noqa: S101
        return self.about

    @property
    def number(self) -> int | None:
        """The number of the organisation, if the act is about one."""
        return None if self.about is None else self.about.organisation

    @property
    def source(self) -> str:
        """The source of the events that a change goes the way of."""
        return f"rollcall:{SOURCES[self.caller.door]}"

    def event_id(self, part: str = "") -> str:
        """The id of an event that this act sends; `part` tells several apart. A repeat of the same request sends the
        same event, which does no harm (R32)."""
        if self.key is None:
            return f"by-hand-{uuid.uuid4()}"
        return f"by-hand-{uuid.uuid5(_EVENTS, f'{self.number} {self.act} {self.key} {part}')}"

    def check_unchanged(self, current: object) -> None:
        """Raise `Stale` if what is changed is not any more what the caller saw. `current`: what the act that shows it
        answers now, read in the transaction that changes it under its lock, or within `alone`."""
        if self.expected is not None and self.expected != tag_of(current):
            raise Stale("It was changed by somebody else since you read it: read it again.")

    @contextmanager
    def alone(self, subject: str) -> Iterator[None]:
        """Keep others that expect what they saw of this from changing it within the block. It takes a connection of its
        own, and nothing if nothing is expected."""
        if self.expected is None:
            yield
            return
        with transaction(session_engine(self.runtime.engine)) as connection:
            named = f"{self.number} {subject}"
            execute(connection, "SELECT pg_advisory_xact_lock(:lock, hashtext(:named))", lock=SUBJECT_LOCK, named=named)
            yield

    @contextmanager
    def transaction(self, *, pipelined: bool = False) -> Iterator[Connection]:
        """One transaction: about the organisation, with the rights of its people alone (R31), if there is one.
        `pipelined`: see `config.database.transaction`."""
        with transaction(self.runtime.engine, self.number, pipelined=pipelined) as connection:
            entering = True
            try:
                if self.about:
                    enter_tenant_role(connection, self.about.organisation)
                entering = pipelined  # then it is sent with the next statement
                yield connection
            except (DataError, ProgrammingError) as problem:
                if not entering or getattr(problem.orig, "sqlstate", None) not in LACKING:
                    raise
                raise UserError(
                    "The database lacks the role of an organisation's people: run rollcall migrate."
                ) from None

    def record(
        self,
        connection: Connection,
        subject: str | None = None,
        *,
        before: dict[str, Any] | None = None,
        after: dict[str, Any] | None = None,
        outcome: str = "done",
    ) -> None:
        """Write what was done into the audit log, in the transaction that does it. What takes several transactions is
        written as `begun` in the first, and as done in the last. Never a secret or a body, nobody's name or address."""
        entry = audit.AuditEntry(self.act, subject, before, after, outcome)
        audit.record(connection, self.number, self.caller, [entry])

    def record_each(
        self,
        connection: Connection,
        changes: Mapping[str, tuple[dict[str, Any], dict[str, Any]]],
        outcome: str = "done",
    ) -> None:
        """The same of many subjects at once, by id: each as it was, and as it is."""
        entries = [
            audit.AuditEntry(self.act, subject, before, after, outcome) for subject, (before, after) in changes.items()
        ]
        audit.record(connection, self.number, self.caller, entries)


def tag_of(answer: object) -> str:
    """What tells this state of a thing from any other (an entity tag, RFC 9110, 8.8.3, without its quotes)."""
    return urlsafe_b64encode(hashlib.sha256(as_json(answer)).digest()[:15]).decode()


def all_of(answers: list[list[Answer]]) -> list[Answer]:
    """One list of several."""
    return [one for answer in answers for one in answer]


#: The media types of what is exported line by line, whichever is asked for.
LINES = ("application/jsonl", "text/csv")


@dataclass(frozen=True, slots=True)
class Act(Generic[Asked, Answer]):
    """One thing that can be done. `method` and `path` are its route, below the organisation if it is about one; the
    names in braces are fields of `takes`, and what else that has comes in the query (GET) or the body. `conditional`:
    it calls `check_unchanged`, so that a caller may say what it is to change (If-Match). `each`: the field with a list
    for each of which it does the same, so that a long one may be done in parts; a `dry_run` of it refuses what it would
    refuse. `together`: the one answer that the answers to parts are. `media`: what a stream that it answers may be.
    """

    name: str
    method: str
    path: str
    does: Callable[[Doing, Asked], Answer]
    takes: type[Asked]
    gives: Any
    changes: bool
    status: int
    conditional: bool = False
    each: str | None = None
    together: Callable[[list[Any]], Any] = all_of
    media: tuple[str, ...] = LINES


#: What has been declared.
ACTS: dict[str, Act[Any, Any]] = {}


def act(
    name: str,
    route: str,
    *,
    changes: bool | None = None,
    status: int = 200,
    conditional: bool = False,
    each: str | None = None,
    together: Callable[[list[Any]], Any] = all_of,
    media: tuple[str, ...] = LINES,
) -> Callable[[Callable[[Doing, Asked], Answer]], Act[Asked, Answer]]:
    """Declare a function of `Doing` and what is asked as an act. `route`: `GET learners/{learner}`, or `GET /system`
    for one that is about no organisation. `changes`: whether it changes something, and so is written down."""
    method, _, path = route.partition(" ")

    def declare(does: Callable[[Doing, Asked], Answer]) -> Act[Asked, Answer]:
        said = get_type_hints(does, include_extras=True)
        changing = method != "GET" if changes is None else changes
        takes, gives = said["asked"], said["return"]
        return _declared(
            Act(name, method, path, does, takes, gives, changing, status, conditional, each, together, media)
        )

    return declare


def _declared(one: Act[Asked, Answer]) -> Act[Asked, Answer]:
    if one.name not in PERMISSIONS:
        raise LookupError(f"nobody may do {one.name}: it is not in the table of permissions")
    ACTS[one.name] = one
    return one


def of_all(one: Act[Asked, Answer]) -> Act[Asked, Answer]:
    """The same act about no organisation, for operators: `system.NAME`, below `/system`."""
    return _declared(replace(one, name=f"system.{one.name}", path=f"/system/{one.path}"))


def perform(
    runtime: Runtime,
    caller: Caller,
    what: Act[Asked, Answer],
    asked: Asked,
    organisation: str | None = None,
    *,
    expected: str | None = None,
    key: str | None = None,
) -> Answer:
    """Do an act, in the cell of the organisation that it is about, if the caller may. An attempt to change something
    that is refused is written down, or counted if there are many. See `Doing`.

    Raises `NotFound` where there is no such organisation or it is not the caller's, `Forbidden` where the role does not
    allow it, `Unavailable` while the organisation is on its way to another cell, and whatever `UserError` the act has.
    """
    of_one = PERMISSIONS[what.name].scope is Scope.ORGANISATION

    def do(there: Runtime) -> Answer:
        about = _found(there, caller, organisation or "") if of_one else None
        doing = Doing(there, caller, what.name, about, expected, key)
        try:
            if not permits(caller, what.name, organisation):
                raise Forbidden(f"The role {caller.role} may not do this ({what.name}).")
            return what.does(doing, asked)
        except UserError as problem:
            if what.changes:
                with doing.transaction() as connection:
                    entry = audit.AuditEntry(what.name, outcome=f"refused: {type(problem).__name__}")
                    audit.record_refusal(connection, doing.number, caller, entry)
            raise

    return do(runtime) if organisation is None or not of_one else cells.in_cell_of(runtime, organisation, do)


def organisation_of(runtime: Runtime, caller: Caller, organisation: str) -> Organisation:
    """This organisation, in the cell where it lives, if it is there and the caller's; the same refusal for both."""
    return cells.in_cell_of(runtime, organisation, lambda there: _found(there, caller, organisation))


def _found(runtime: Runtime, caller: Caller, organisation: str) -> Organisation:
    with autocommit(runtime.engine) as connection:
        found = organisations.find(connection, [organisation]).get(organisation)
        if found is None and caller.sees(organisation):
            cells.check_here(connection, [organisation])
    if found is None or not caller.sees(organisation):
        raise NotFound(f"There is no organisation {organisation!r}.")
    return found
