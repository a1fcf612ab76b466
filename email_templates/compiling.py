"""`make templates`: compile the frames of our mail from MJML, once, to what every mail is made of.

A frame has places (`place-of-NAME`) for what differs from mail to mail. Each is made with the organisation's logo and
with its name, as HTML and as text; nothing of this runs where mail is sent.
"""

from pathlib import Path

import mrml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from email_templates.minify import minify
from tasks.mail.composing.plain import plain

FOLDER = Path(__file__).parent

#: What is put in its place in every mail.
PLACES = (
    "organisation", "logo", "band", "ink", "link", "code", "direction", "side", "greeting", "opening", "listing",
    "closing", "footer", "body",
)  # fmt: skip

#: MJML would fetch the fonts it knows from Google, and so tell Google who reads what.
_NO_WEB_FONTS = mrml.RenderOptions(disable_comments=True, fonts={})
_SOURCES = Environment(loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True)


def frames(*, small: bool = True) -> dict[str, str]:
    """Each frame by the name of its file; in HTML, without what no mail program needs if it is to be `small`."""
    places = {name: f"place-of-{name}" for name in PLACES}
    made: dict[str, str] = {}
    for template in ("announcement", "notice"):
        for with_logo in (False, True):
            mjml = _SOURCES.get_template(f"{template}.mjml.j2").render(places, with_logo=with_logo)
            html = mrml.to_html(mjml, render_options=_NO_WEB_FONTS).content
            made[f"{template}{'-logo' if with_logo else ''}.html"] = minify(html) if small else html
            made[f"{template}.txt"] = plain(mjml)
    return made


if __name__ == "__main__":
    for file, frame in frames().items():
        (FOLDER / file).write_text(frame, encoding="utf-8")
