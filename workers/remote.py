"""Acts done at a server far away, through its API: what a command asks and prints is the same as there.

By `http.client` of the standard library: a command makes one connection, asks one thing after the other, and needs
neither a pool nor HTTP/2.
"""

import http.client
import ssl
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import fields, replace
from datetime import datetime
from enum import Enum
from http import HTTPStatus
from typing import IO, Any, get_args, get_origin
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from config.errors import BadField, Conflict, Forbidden, Invalid, NotFound, Stale, UserError
from config.settings import is_here
from config.tls import client_context
from config.words import as_json
from tasks.accounts import PERMISSIONS, Scope
from tasks.acts.acting import Act, Answer, Asked
from tasks.acts.paging import Begun, Stream, UnderWay

#: Where the API is, below the server's URL.
BASE = "/api/v1"

#: Seconds to wait for an answer, and, in all, for a server that asks for patience.
ANSWER_SECONDS, PATIENCE_SECONDS = 90.0, 60.0

#: Bytes of a stream, or of a file, at once.
BLOCK = 1 << 16

#: Octets of the list of one request: where it is longer, it is sent in parts. A server takes a body of 1 MB, and does
#: what some 5,000 ids ask of it within seconds.
LONGEST_LIST = 200_000

#: Things of a list in one request, where they are done one after the other, each in its own time.
ONE_BY_ONE = 500

#: What a refusal is here, by its status there.
_REFUSALS: dict[int, type[UserError]] = {403: Forbidden, 404: NotFound, 409: Conflict, 412: Stale}


class Unreachable(UserError):
    """The server could not be asked; the message says why, and what to look at."""


class _Problem(msgspec.Struct):
    """What a refusal says (RFC 9457)."""

    detail: str
    errors: list[BadField] = []


class RemoteServer:
    """A server far away, for as long as one command runs."""

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url.rstrip("/").removesuffix(BASE))
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.username is not None:
            raise UserError("ROLLCALL_URL reads https://host, where the server's pages are.")
        if parts.scheme == "http" and not is_here(parts.hostname):
            raise UserError("ROLLCALL_URL begins with http: the token would be sent for everybody to read. Use https.")
        if not token.isascii() or not token.isprintable() or " " in token:
            raise UserError("ROLLCALL_TOKEN is no token: it begins with rck_, and has no space.")
        self._host, self._path = parts.netloc, parts.path + BASE
        self._token = token
        self._connection: http.client.HTTPConnection = (
            http.client.HTTPSConnection(self._host, timeout=ANSWER_SECONDS, context=client_context())
            if parts.scheme == "https"
            else http.client.HTTPConnection(self._host, timeout=ANSWER_SECONDS)
        )

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def __call__(self, act: Act[Asked, Answer], asked: Asked, organisation: str | None = None) -> Answer:
        """Do an act there; one about a long list in parts, once it is known that there is nothing against any."""
        parts = [asked] if act.each is None else _parts(act.each, asked)
        if len(parts) == 1:
            return self._done(act, asked, organisation)
        if hasattr(asked, "dry_run"):
            for part in parts:
                self._done(act, replace(part, dry_run=True), organisation)  # type: ignore[type-var]
        answers: list[Answer] = []
        for n, part in enumerate(parts):
            try:
                answers.append(self._done(act, part, organisation))
            except Unreachable as problem:
                done = sum(len(getattr(one, act.each or "")) for one in parts[:n])
                go_on = "do the same again" if hasattr(asked, "dry_run") else "go on with the rest"
                raise Unreachable(f"{problem} The first {done:,} are done: {go_on}.") from None
        found: Answer = act.together(answers)
        return found

    def _done(self, act: Act[Asked, Answer], asked: Asked, organisation: str | None) -> Answer:
        """Do an act by one request, which is repeated while the server asks for patience."""
        until = time.monotonic() + PATIENCE_SECONDS
        key = {"Idempotency-Key": uuid.uuid4().hex} if act.method == "POST" and act.changes else {}
        while True:
            answer = self._asked(act, asked, organisation, key)
            again = answer.headers.get("Retry-After", "")
            patient = answer.status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
            if not (patient and again.isdecimal() and time.monotonic() + int(again) < until):
                found: Answer = self._understood(act, answer)
                return found
            self._body(answer)
            time.sleep(int(again))

    def _asked(
        self, act: Act[Any, Any], asked: Any, organisation: str | None, headers: dict[str, str]
    ) -> http.client.HTTPResponse:
        values = {field.name: getattr(asked, field.name) for field in fields(asked)}
        path = f"{self._path}/{_path(act, values, organisation)}"
        usual = {field.name: field.default for field in fields(asked)}
        said = {
            name: value
            for name, value in values.items()
            if f"{{{name}}}" not in act.path
            and value != usual[name]  # which it is taken for if it is not said
            and (value is not None or act.method != "GET")
        }
        body: Iterable[bytes] | bytes | None = None
        file = said.pop("file", None)
        if file is not None:
            boundary = uuid.uuid4().hex
            length, body = _multipart(said, file, boundary)
            headers = headers | {
                "Content-Type": f"multipart/form-data; boundary={boundary}",
                "Content-Length": str(length),
            }
        elif act.method == "GET":
            path += f"?{urlencode(_plain(said))}" if said else ""
        elif said:
            body, headers = as_json(said), headers | {"Content-Type": "application/json"}
        headers = headers | {"Authorization": f"Bearer {self._token}", "Accept": "*/*"}
        kept = self._connection.sock is not None
        repeatable = kept and file is None and (act.method == "GET" or "Idempotency-Key" in headers)
        try:
            try:
                self._connection.request(act.method, path, body=body, headers=headers)
                return self._connection.getresponse()
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                if not repeatable:
                    raise
                self._connection.close()  # it was kept for longer than the server keeps it
                self._connection.request(act.method, path, body=body, headers=headers)
                return self._connection.getresponse()
        except ssl.SSLCertVerificationError as problem:
            raise Unreachable(f"{self._host} cannot be trusted: {problem.verify_message}. Nothing was sent.") from None
        except (OSError, http.client.HTTPException) as problem:
            why = getattr(problem, "strerror", None) or " ".join(str(problem).split()) or type(problem).__name__
            raise Unreachable(f"{self._host} cannot be reached: {why}. Look at ROLLCALL_URL.") from None

    def _understood(self, act: Act[Any, Any], answer: http.client.HTTPResponse) -> Any:
        if answer.status >= HTTPStatus.MULTIPLE_CHOICES:
            raise self._refusal(answer)
        kind: Any = act.gives
        if kind is Stream:
            return Stream(answer.headers.get_content_type(), _blocks(answer))
        body = self._body(answer)
        try:
            if answer.status == HTTPStatus.ACCEPTED:
                location = answer.headers.get("Location", "").rpartition("/organisations/")[2].partition("/")[2]
                return Begun(location, msgspec.json.decode(body, type=UnderWay))
            return msgspec.json.decode(body, type=_at_once(kind)) if body else None
        except msgspec.MsgspecError:
            raise Unreachable(
                f"{self._host} gave an answer that cannot be read: is it as new as this rollcall?"
            ) from None

    def _body(self, answer: http.client.HTTPResponse) -> bytes:
        """All of an answer. Raises `Unreachable` where it breaks off."""
        try:
            return answer.read()
        except (OSError, http.client.HTTPException):
            raise Unreachable(f"{self._host} broke off its answer: look whether it was done, or ask again.") from None

    def _refusal(self, answer: http.client.HTTPResponse) -> UserError:
        try:
            said = msgspec.json.decode(self._body(answer), type=_Problem)
        except msgspec.MsgspecError:
            return Unreachable(
                f"{self._host} answered {answer.status} {answer.reason}, which no Rollcall says: look at ROLLCALL_URL."
            )
        match answer.status:
            case HTTPStatus.UNAUTHORIZED:
                return Unreachable(f"{said.detail} Look at ROLLCALL_TOKEN.")
            case HTTPStatus.UNPROCESSABLE_ENTITY if said.errors:
                return Invalid(said.detail, said.errors)
        return _REFUSALS.get(answer.status, UserError)(said.detail)


def _at_once(kind: Any) -> Any:
    """What is answered where it does not take long."""
    kinds = get_args(kind)
    is_long = [get_origin(one) is Begun for one in kinds]
    return kinds[is_long.index(False)] if any(is_long) else kind


def _parts(each: str, asked: Asked) -> list[Asked]:
    """What is asked, in requests whose list is not too long."""
    most = LONGEST_LIST if hasattr(asked, "dry_run") else ONE_BY_ONE
    parts: list[list[Any]] = [[]]
    room = LONGEST_LIST
    for one in getattr(asked, each) or ():
        room -= len(as_json(one)) + 1
        if (room < 0 or len(parts[-1]) >= most) and parts[-1]:
            parts.append([])
            room = LONGEST_LIST - len(as_json(one)) - 1
        parts[-1].append(one)
    return [replace(asked, **{each: part}) for part in parts]  # type: ignore[type-var]


def _path(act: Act[Any, Any], values: dict[str, Any], organisation: str | None) -> str:
    """The path of an act, below the API."""
    path = act.path.strip("/")
    for name, value in values.items():
        path = path.replace(f"{{{name}}}", quote(str(_text(value)), safe=""))
    if PERMISSIONS[act.name].scope is Scope.ORGANISATION:
        return f"organisations/{quote(organisation or '', safe='')}/{path}"
    return path


def _text(value: Any) -> str:
    """A value as it stands in a path or a query."""
    match value:
        case bool():
            return "true" if value else "false"
        case Enum():
            return str(value.value)
        case datetime():
            return value.isoformat()
    return str(value)


def _plain(said: dict[str, Any]) -> list[tuple[str, str]]:
    """What is said as fields of a query or a form; a list has its values one by one."""
    return [
        (name, _text(one))
        for name, value in said.items()
        for one in (value if isinstance(value, list | tuple) else [value])
    ]


def _multipart(said: dict[str, Any], file: IO[bytes], boundary: str) -> tuple[int, Iterator[bytes]]:
    """A form with a file (RFC 7578): how long it is, and what it is, block by block."""
    head = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in _plain(said)
    )
    head += (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="file"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    before, behind = head.encode(), f"\r\n--{boundary}--\r\n".encode()
    size = file.seek(0, 2)
    file.seek(0)

    def blocks() -> Iterator[bytes]:
        yield before
        while block := file.read(BLOCK):
            yield block
        yield behind

    return len(before) + size + len(behind), blocks()


def _blocks(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    """A stream, block by block. Raises `Unreachable` where it breaks off."""
    try:
        while block := answer.read(BLOCK):
            yield block
    except (OSError, http.client.HTTPException):
        raise Unreachable("The server broke off: what was printed is not all of it.") from None
