"""How pages look: templates in the reader's language, one stylesheet, script and icon, and the headers of each page."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from workers.web.console.languages import LANGUAGES, Reading

ASSETS = Path(__file__).with_name("assets")

#: What a browser may do with a page: only what comes from here, and nothing that stands in the page itself.
POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; style-src 'self'; "
    "script-src 'self'; img-src 'self'; connect-src 'self'"
)

#: The same for a page that shows pages of ours in frames.
FRAMING_POLICY = f"{POLICY}; frame-src 'self'"

#: What a document in a frame may do, which is not ours, whatever it holds: look as it says. It runs and loads nothing,
#: sends no form, and is of an origin that has nothing, even if somebody opens it by itself.
FRAMED_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'; sandbox"
)

#: A form is sent with its origin, which `no-referrer` would hide.
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow",
}

TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


@cache
def assets() -> dict[str, tuple[bytes, str]]:
    """What pages are made of, by names that change with what they hold."""
    found = {}
    for path in sorted(ASSETS.iterdir()):
        if path.suffix in TYPES:
            body = path.read_bytes()
            found[f"{path.stem}.{hashlib.sha256(body).hexdigest()[:12]}{path.suffix}"] = (body, TYPES[path.suffix])
    return found


@cache
def asset_names() -> dict[str, str]:
    """Those names, by `console.css`, `console.js` and `icon.svg`."""
    return {f"{name.split('.')[0]}.{name.rpartition('.')[2]}": name for name in assets()}


def asset(name: str) -> Response | None:
    """One of them, which a browser may keep for good."""
    found = assets().get(name)
    if found is None:
        return None
    kept = {"Cache-Control": "public, max-age=31536000, immutable", "Content-Type": found[1]}
    return Response(found[0], headers=kept)


def icon(_request: Request) -> Response:
    """The icon where a browser asks for it that shows what names none: an answer to a probe, a page of ours that runs
    and loads nothing."""
    body, kind = assets()[asset_names()["icon.svg"]]
    return Response(body, headers={"Cache-Control": "public, max-age=86400", "Content-Type": kind})


@cache
def _environment(language: str) -> Environment:
    made = Environment(
        loader=PackageLoader("workers.web.console"),
        autoescape=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.policies["ext.i18n.trimmed"] = True
    made.globals |= {"asset": asset_names(), "languages": LANGUAGES}
    made.install_gettext_translations(Reading(language).words, newstyle=True)  # type: ignore[attr-defined]
    return made


def render(template: str, reader: Reading, said: Mapping[str, Any]) -> str:
    """A page in the reader's language, with times in their zone."""

    @cache
    def when(at: datetime | None) -> Markup:
        if at is None:
            return Markup('<span class="none">–</span>')
        parts = (at.isoformat(), reader.in_utc(at), reader.moment(at))
        return Markup('<time datetime="%s" title="%s">%s</time>') % parts

    return (
        _environment(reader.language)
        .get_template(f"{template}.html.j2")
        .render({**said, "reader": reader, "number": reader.number, "when": when})
    )
