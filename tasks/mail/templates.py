"""What Rollcall's mail says: the look from `email_templates/`, our phrases, and what admins write.

Each function returns a subject, an HTML body and its plain-text twin, all three with the tokens that `message.py` puts
values in place of. Text from outside (an admin's words, an organisation's name) enters here, and here loses the power
to form a token.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache

import mrml
from jinja2 import PackageLoader, StrictUndefined, select_autoescape
from jinja2.sandbox import SandboxedEnvironment
from markdown_it import MarkdownIt
from markupsafe import Markup, escape

from tasks.mail.merge import MergeError, MergeField, Slot, one_line, parse


@dataclass(frozen=True, slots=True)
class Phrases:
    """The words of one notice in one language, in the merge language; `{{ organisation }}` is known when it is made."""

    subject: str
    greeting: str
    opening: str
    closing: str
    footer: str


_FALLBACK = "en"

_ENROLMENT: Mapping[str, Phrases] = {
    "en": Phrases(
        subject="You have been enrolled at {{ organisation }}",
        greeting='Hello {{ first_name | default: "there" }},',
        opening="You have been enrolled in the following:",
        closing="Sign in as usual to begin.",
        footer="You receive this as a learner of {{ organisation }}.",
    ),
    "nl": Phrases(
        subject="Je bent ingeschreven bij {{ organisation }}",
        greeting='Hallo {{ first_name | default: "daar" }},',
        opening="Je bent ingeschreven voor:",
        closing="Log in zoals je gewend bent om te beginnen.",
        footer="Je ontvangt dit als cursist van {{ organisation }}.",
    ),
    "fr": Phrases(
        subject="Votre inscription chez {{ organisation }}",
        greeting='Bonjour {{ first_name | default: "à vous" }},',
        opening="Vous êtes désormais inscrit(e) aux formations suivantes :",
        closing="Connectez-vous comme d’habitude pour commencer.",
        footer="Vous recevez ce message en tant qu’apprenant(e) chez {{ organisation }}.",
    ),
}

_DIGEST: Mapping[str, Phrases] = {
    "en": Phrases(
        subject="What is open to you at {{ organisation }}",
        greeting='Hello {{ first_name | default: "there" }},',
        opening="Welcome back. The following became available to you:",
        closing="Sign in as usual to begin.",
        footer="You receive this as a learner of {{ organisation }}.",
    ),
    "nl": Phrases(
        subject="Dit staat voor je klaar bij {{ organisation }}",
        greeting='Hallo {{ first_name | default: "daar" }},',
        opening="Welkom terug. Dit is voor je beschikbaar gekomen:",
        closing="Log in zoals je gewend bent om te beginnen.",
        footer="Je ontvangt dit als cursist van {{ organisation }}.",
    ),
    "fr": Phrases(
        subject="Ce qui vous attend chez {{ organisation }}",
        greeting='Bonjour {{ first_name | default: "à vous" }},',
        opening="Bon retour parmi nous. Voici ce qui vous est désormais accessible :",
        closing="Connectez-vous comme d’habitude pour commencer.",
        footer="Vous recevez ce message en tant qu’apprenant(e) chez {{ organisation }}.",
    ),
}

_PASSWORD: Mapping[str, Phrases] = {
    "en": Phrases(
        subject="Temporary passwords to set at {{ organisation }}",
        greeting="Hello,",
        opening="These learners sign in by username and are active again. Their earlier passwords are void.",
        closing="Please set a temporary password for each of them and hand it over.",
        footer="You receive this as an admin of {{ organisation }}.",
    ),
}

_ANNOUNCEMENT_FOOTER = "You receive this as a learner of {{ organisation }}."
_UNSUBSCRIBE = "Unsubscribe"
#: Where an announcement's templates put the admin's words, once MJML is out of the way.
_BODY = "[[raw:body]]"

#: Stands in for a slot while Markdown is rendered, between two code points that Unicode keeps out of any text.
_STAND_IN = re.compile("\ufdd0([0-9]+)\ufdd1")
_WITHOUT_MARKS = str.maketrans("", "", "\ufdd0\ufdd1")

#: How text from outside shows the characters of a token without being one.
_IN_HTML = {ord(mark): f"&#{ord(mark)};" for mark in "{}["}
_OPENS_TOKEN = re.compile(r"\{(?=\{)|\[(?=\[raw:)")
_WORD_JOINER = "\u2060"


_TEMPLATES = SandboxedEnvironment(
    loader=PackageLoader("email_templates", ""),
    autoescape=select_autoescape(enabled_extensions=("mjml.j2",)),
    undefined=StrictUndefined,
)
#: MJML would fetch the fonts it knows from Google, and so tell Google who reads what.
_NO_WEB_FONTS = mrml.RenderOptions(fonts={})


class _Markdown(MarkdownIt):
    """CommonMark without HTML, whose links lead to the web or to an address, the same for every recipient."""

    def __init__(self) -> None:
        super().__init__("commonmark", {"html": False})

    def normalizeLink(self, url: str) -> str:  # noqa: N802
        if _STAND_IN.search(url):
            raise MergeError("The address of a link cannot hold a merge field: put the field in the text of the link.")
        return super().normalizeLink(url)

    def validateLink(self, url: str) -> bool:  # noqa: N802
        return url.lower().startswith(("http://", "https://", "mailto:"))


_MARKDOWN = _Markdown()


@lru_cache(maxsize=64)
def announcement(
    subject: str, body_markdown: str, organisation: str, *, unsubscribe_link: bool = False
) -> tuple[str, str, str]:
    """An admin's message, in their own words; its text twin is the Markdown as they wrote it.

    With `unsubscribe_link` the footer links to `[[raw:unsubscribe_url]]`. Raises MergeError for a mistake in the merge
    language.
    """
    body = parse(body_markdown.translate(_WITHOUT_MARKS).rstrip())
    words = {"footer": _ANNOUNCEMENT_FOOTER, "unsubscribe": _UNSUBSCRIBE if unsubscribe_link else ""}
    html, text = _rendered("announcement", words, organisation, language="und")
    return (
        _as_text(parse(subject), organisation),
        html.replace(_BODY, _as_markdown(body, organisation)),
        text.replace(_BODY, _as_text(body, organisation)),
    )


@lru_cache(maxsize=256)
def enrolment_notice(organisation: str, locale: str) -> tuple[str, str, str]:
    """Tells a learner what they were enrolled in (R12): splices `courses_html` and `courses_text`, from `listing`."""
    return _notice("enrolment", _ENROLMENT, organisation, locale)


@lru_cache(maxsize=256)
def digest_notice(organisation: str, locale: str) -> tuple[str, str, str]:
    """Tells a reactivated learner what became available (R12, S7): splices `courses_html` and `courses_text`."""
    return _notice("enrolment", _DIGEST, organisation, locale)


@lru_cache(maxsize=256)
def password_notice(organisation: str) -> tuple[str, str, str]:
    """Tells admins who needs a temporary password (R5, S8): splices `learners_html` and `learners_text`."""
    return _notice("password", _PASSWORD, organisation, _FALLBACK)


def listing(items: Iterable[str]) -> tuple[str, str]:
    """The items as an HTML list, escaped, and as lines of text: what notices splice in as raw values."""
    lines = [one_line(item) for item in items]
    return (
        f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>",
        "\n".join(f"- {line}" for line in lines),
    )


def _notice(template: str, phrases: Mapping[str, Phrases], organisation: str, locale: str) -> tuple[str, str, str]:
    language = re.split("[-_]", locale.lower())[0]
    if language not in phrases:
        language = _FALLBACK
    words = asdict(phrases[language])
    return _as_text(parse(words.pop("subject")), organisation), *_rendered(template, words, organisation, language)


def _rendered(template: str, words: Mapping[str, str], organisation: str, language: str) -> tuple[str, str]:
    said = {name: parse(phrase) for name, phrase in words.items()}
    mjml = _TEMPLATES.get_template(f"{template}.mjml.j2").render(
        {name: _as_html(parts, organisation) for name, parts in said.items()},
        organisation=_as_html((one_line(organisation),), organisation),
        language=language,
    )
    text = _TEMPLATES.get_template(f"{template}.txt.j2").render(
        {name: _as_text(parts, organisation) for name, parts in said.items()}
    )
    return mrml.to_html(mjml, render_options=_NO_WEB_FONTS).content, text


def _as_markdown(parts: tuple[str | Slot, ...], organisation: str) -> str:
    """The HTML of Markdown. Slots sit it out behind stand-ins, so that neither Markdown nor escaping touches them."""
    source = "".join(part if isinstance(part, str) else f"\ufdd0{number}\ufdd1" for number, part in enumerate(parts))
    html = _MARKDOWN.render(source).strip().translate(_IN_HTML)
    return _STAND_IN.sub(lambda match: _as_html((parts[int(match[1])],), organisation), html)


def _as_html(parts: tuple[str | Slot, ...], organisation: str) -> Markup:
    return Markup(  # noqa: S704
        "".join(
            str(part) if isinstance(part, Slot) else escape(part).translate(_IN_HTML)
            for part in _known(parts, organisation)
        )
    )


def _as_text(parts: tuple[str | Slot, ...], organisation: str) -> str:
    return "".join(
        str(part) if isinstance(part, Slot) else _OPENS_TOKEN.sub(rf"\g<0>{_WORD_JOINER}", part)
        for part in _known(parts, organisation)
    )


def _known(parts: tuple[str | Slot, ...], organisation: str) -> Iterator[str | Slot]:
    """The parts with the organisation's name, the same for every recipient, in its place."""
    for part in parts:
        if isinstance(part, Slot) and part.field is MergeField.ORGANISATION:
            yield part.fill({part.field: organisation})
        else:
            yield part
