"""The document of the API, and a page of it for people: nothing on it comes from elsewhere."""

from base64 import b64encode
from functools import cache
from hashlib import sha256

from jinja2 import ChainableUndefined, Environment, PackageLoader
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from workers.web.api import openapi
from workers.web.api.problems import KINDS
from workers.web.api.routes import BASE
from workers.web.paths import prefixes

_PAGES = Environment(loader=PackageLoader("workers.web"), autoescape=True, undefined=ChainableUndefined)
_STYLE = _PAGES.get_template("api.css").render()

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
    f" style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


def routes(public_url: str) -> list[Route]:
    """Both, where `PUBLIC_URL` is and, should a proxy in front take its path away, at the root."""

    async def described(_request: Request) -> Response:
        return Response(openapi.served(public_url), media_type="application/json", headers=_HEADERS)

    async def page(_request: Request) -> Response:
        return HTMLResponse(_page(public_url), headers=_HEADERS)

    return [
        route
        for path in prefixes(public_url)
        for route in (Route(f"{path}{BASE}/openapi.json", described), Route(f"{path}/api", page))
    ]


@cache
def _page(public_url: str) -> str:
    server = f"{public_url}{BASE}"
    return _PAGES.get_template("api.html.j2").render(openapi.document(server), server=server, kinds=KINDS)
