"""Pages for people: how they look, and what keeps them for their reader alone.

A page runs nothing, fits in no frame, is kept nowhere, and its address, which may be a secret, is told nobody.
"""

from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from urllib.parse import parse_qsl

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

_PAGES = Environment(loader=PackageLoader("workers.web"), autoescape=True, undefined=StrictUndefined)
_STYLE = _PAGES.get_template("page.css").render()

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none';"
    f" style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow",
}

#: Octets of a form at most.
LONGEST_FORM = 8192

#: Fields of a form at most.
MOST_FIELDS = 8


def page(
    template: str, status: int = 200, said: Mapping[str, object] | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """A page of a template."""
    return HTMLResponse(
        _PAGES.get_template(f"{template}.html.j2").render(said or {}), status, HEADERS | dict(headers or {})
    )


def urlencoded(body: bytes) -> dict[str, str]:
    """The fields of a form as a browser sends it; none if it cannot be read. Of two with one name the last counts."""
    try:
        return dict(parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=MOST_FIELDS))
    except ValueError:
        return {}
