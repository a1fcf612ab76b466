"""`rollcall templates`: what Rollcall's mail looks like, before any is sent."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from config.settings import load_settings
from tasks import mail
from tasks.acts import templates as acts
from workers import browser
from workers.commands.common import Json, Refused, done, err, say, say_table
from workers.commands.drafting import text_of

app = typer.Typer(help="What our mail looks like, before any is sent.", no_args_is_help=True)


@dataclass(frozen=True, slots=True)
class Rendered:
    """The files that were written; no picture where no browser is there to make one."""

    template: str
    locale: str
    organisation: str | None
    subject: str
    html: str
    text: str
    png: str | None


@app.command("list")
def list_(json_: Json = False) -> None:
    """List the kinds of mail, and the languages that each speaks."""
    found = acts.kinds()
    lines = [[t.template, t.to, t.says, t.locales] for t in found]
    say_table(found, ["template", "to", "says", "locales"], lines, "", json_=json_)


@app.command()
def render(
    template: Annotated[mail.Kind, typer.Argument(metavar="NAME", help="The kind of mail, as listed.")],
    locale: Annotated[str, typer.Option(help="The recipient's locale, such as nl-BE.")] = "en",
    organisation: Annotated[
        str | None,
        typer.Option("--organisation", "-o", metavar="ORG", help="Whose name, logo and colour; made up otherwise."),
    ] = None,
    subject: Annotated[str | None, typer.Option(help="An announcement's subject.")] = None,
    body: Annotated[str | None, typer.Option(help="An announcement's body; @FILE reads it, - from stdin.")] = None,
    folder: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where to write the files.")] = Path(),
    png: Annotated[
        bool | None, typer.Option("--png/--no-png", help="Make a picture, or none; otherwise if a browser is there.")
    ] = None,
    json_: Json = False,
) -> None:
    """Write a mail as HTML and as text, and a picture of it where there is a browser. Pictures it links to are not
    fetched: you see what a mailbox shows that blocks them."""
    if template is not mail.Kind.ANNOUNCEMENT and (subject is not None or body is not None):
        raise typer.BadParameter("only an announcement has a --subject and a --body of your own")
    wanted = acts.TemplateOf(template, locale, subject, None if body is None else text_of(body))
    seen = acts.sample_of(wanted) if organisation is None else done(acts.render, wanted, organisation)
    paths = [folder / f"{template}.{seen.locale}.{kind}" for kind in ("html", "txt", "png")]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        paths[0].write_text(seen.html, encoding="utf-8")
        paths[1].write_text(seen.text, encoding="utf-8")
    except OSError as problem:
        raise Refused(f"The files cannot be written: {problem}.") from None
    drawn = png is not False and _draw(seen.html, paths[2], needed=png is True)
    result = Rendered(
        seen.template,
        seen.locale,
        organisation,
        seen.subject,
        str(paths[0]),
        str(paths[1]),
        str(paths[2]) if drawn else None,
    )
    say(result, *map(str, paths if drawn else paths[:2]), json_=json_)


def _draw(html: str, png: Path, *, needed: bool) -> bool:
    """Make the picture, or say why there is none; whether there is one."""
    try:
        browser.picture(browser.find(load_settings().rollcall_browser), html, png)
    except (browser.NoPicture, OSError) as problem:
        if needed:
            raise Refused(str(problem)) from None
        err.print(str(problem), markup=False)
        return False
    return True
