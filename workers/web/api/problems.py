"""What is said where a request is refused: problems of RFC 9457, one for each status."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy.exc import DataError, SQLAlchemyError
from starlette.responses import Response

from config.errors import BadField, Conflict, Forbidden, Invalid, NotFound, Stale, Unavailable, UserError
from tasks.acts.idempotency import UnderWayElsewhere
from workers.web.asking import AGAIN, Busy, is_busy, is_passing, took_too_long
from workers.web.bodies import NotRead

#: The type of content of a problem.
MEDIA_TYPE = "application/problem+json"

#: Seconds after which to ask again where the database is away.
AWAY = 5

#: The problems by their status: the end of the URI that names each, and a title.
KINDS = {
    400: ("bad-request", "The request cannot be read."),
    401: ("unauthorized", "A token is needed."),
    403: ("forbidden", "The caller may not do this."),
    404: ("not-found", "It is not there."),
    405: ("method-not-allowed", "The path does not have this method."),
    406: ("not-acceptable", "It is answered in another type of content."),
    408: ("request-timeout", "The request took too long to come."),
    409: ("conflict", "The state of what is named does not allow it."),
    412: ("precondition-failed", "It was changed meanwhile."),
    413: ("content-too-large", "The body is too large."),
    415: ("unsupported-media-type", "The body has a type of content that is not taken."),
    422: ("invalid", "What was sent cannot be taken."),
    429: ("too-many-requests", "Too many requests."),
    500: ("internal-error", "Something is wrong here."),
    503: ("unavailable", "It cannot be done now."),
}


class ProblemDetails(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a request was refused (RFC 9457). `errors` names the fields of what was sent that are wrong."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[BadField] = []


@dataclass(eq=False)
class RefusedCall(Exception):
    """A request that is answered with a problem."""

    status: int
    detail: str
    headers: dict[str, str] | None = None
    errors: Sequence[BadField] = ()


#: Statuses of what a user can do something about, the first that fits.
_STATUSES: dict[type[UserError], int] = {
    NotFound: 404, Forbidden: 403, Stale: 412, Conflict: 409, Unavailable: 503, UserError: 422,
}  # fmt: skip


def refusal_of(problem: Exception) -> RefusedCall | None:
    """What is answered to somebody for whom this went wrong; None where it is a bug of ours."""
    if isinstance(problem, RefusedCall):
        return problem
    if isinstance(problem, UserError):
        status = next(status for kind, status in _STATUSES.items() if isinstance(problem, kind))
        headers = {"Retry-After": "1"} if isinstance(problem, UnderWayElsewhere | Unavailable) else None
        return RefusedCall(status, str(problem), headers, problem.errors if isinstance(problem, Invalid) else ())
    if isinstance(problem, NotRead):
        return RefusedCall(problem.status, str(problem), problem.headers)
    if isinstance(problem, Busy) or (isinstance(problem, SQLAlchemyError) and is_passing(problem)):
        busy = is_busy(problem)
        why = "Too much is asked at once: ask again." if busy else "The database is away: ask again."
        if took_too_long(problem):
            why = "It took too long and was stopped: ask for less at once, or again later."
        return RefusedCall(503, why, {"Retry-After": str(AGAIN if busy else AWAY)})
    if isinstance(problem, DataError):
        return RefusedCall(422, "A value is outside of what can be stored.")
    return None


def response(public_url: str, refusal: RefusedCall) -> Response:
    """A problem as it is sent."""
    name, title = KINDS.get(refusal.status, KINDS[500])
    said = ProblemDetails(f"{public_url}/api#{name}", title, refusal.status, refusal.detail, [*refusal.errors])
    return Response(msgspec.json.encode(said), refusal.status, refusal.headers, MEDIA_TYPE)
