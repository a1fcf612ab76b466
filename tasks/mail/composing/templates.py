"""What Rollcall's mail says: the look of `email_templates/`, our phrases, and what admins write.

Each function returns a subject, an HTML body and its plain-text twin, all three with the tokens that `message.py` puts
values in place of. Both bodies have a frame, which `make templates` compiled from one and the same MJML. Text from
outside (an admin's words, an organisation's name) takes its place in it, and has lost the power to form a token.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from markupsafe import escape

import email_templates
from tasks.mail.composing.branding import Branding
from tasks.mail.composing.markdown import MOST_SLOTS_OF_SUBJECT, letter, refuse_slots
from tasks.mail.composing.merge import MergeError, MergeField, Slot, SubjectError, parse, said
from tasks.mail.composing.message import compile_message
from tasks.mail.composing.phrases import Language, Notice, spoken
from tasks.mail.composing.placeholders import Placeholders
from tasks.mail.composing.plain import plain
from tasks.mail.rules import Kind

#: Where something is to stand in a frame, and the line breaks behind it, which go with what is empty: all of it is put
#: there at once, and not looked at again.
_PLACE = re.compile("place-of-([a-z]+)(\n*)")

#: How text from outside shows the characters of a token without being one.
_IN_HTML = {ord(mark): f"&#{ord(mark)};" for mark in "{}["}
_OPENS_TOKEN = re.compile(r"\{(?=\{)|\[(?=\[raw:)")
_WORD_JOINER = "\u2060"
_LINE_BREAK = re.compile("\r\n?")


@dataclass(frozen=True, slots=True)
class Usage:
    """How much of what an organisation bought is used; `unit` is seat or credit."""

    unit: str
    used: int
    pool: int

    def notice(self, language: Language) -> Notice:
        """What to say of it."""
        if self.unit == "seat":
            return language.seats_low if self.used < self.pool else language.seats_spent
        return language.credits_low if self.used < self.pool else language.credits_spent

    def figures(self, language: Language) -> dict[str, str]:
        """The figures a phrase may hold."""
        figures = {
            "percent": self.used * 100 // max(self.pool, 1),
            "used": self.used,
            "pool": self.pool,
            "left": max(self.pool - self.used, 0),
        }
        return {name: f"{figure:,}".replace(",", language.thousands) for name, figure in figures.items()}


#: Texts of admins that are kept made: each may take megabytes.
MADE = 8
#: The largest mail, in octets as it is sent, whoever its recipient is. Servers take ten megabytes and more.
LARGEST_MAIL = 2 * 1024 * 1024
#: Characters of a list in a notice, at most; of a longer one it is said how many more there are.
LONGEST_LISTING = 100_000


@lru_cache(maxsize=MADE)
def announcement(
    subject: str, body_markdown: str, branding: Branding, locale: str = "", *, unsubscribe_link: bool = False
) -> tuple[str, str, str]:
    """An admin's message in their own words, with a footer in the language of this locale.

    With `unsubscribe_link` the footer links to `[[raw:unsubscribe_url]]`. Raises MergeError for a mistake in what the
    admin wrote.
    """
    language = spoken(locale)
    footer = language.learner_footer
    if unsubscribe_link:
        footer += f'<br /><a href="[[raw:unsubscribe_url]]" style="color:inherit">{language.unsubscribe}</a>'
    body = _body(body_markdown, branding.name)
    return _subject(subject, branding.name), *_page(
        "announcement", {"footer": footer}, language, branding, {"body": body}
    )


def check_announcement(subject: str, body_markdown: str, organisation: str) -> None:
    """Raises MergeError for a mistake in what an admin wrote, and for what could become too large for somebody."""
    subject, html, text = announcement(subject, body_markdown, Branding(organisation))
    largest = compile_message(subject=subject, html=html, text=text, mail_from="nobody@example.org").largest
    if largest > LARGEST_MAIL:
        raise MergeError(
            f"The mail could have {largest // 1024} kB, with the longest of names; at most {LARGEST_MAIL // 1024} kB"
            " can be sent. Link to what is long."
        )


@lru_cache(maxsize=256)
def notice(kind: Kind, branding: Branding, locale: str = "", usage: Usage | None = None) -> tuple[str, str, str]:
    """Tells a learner what they were enrolled in, or what became available as they were reactivated (R12, S7): splices
    `courses_html` and `courses_text`, from `listing`. Tells admins who needs a temporary password (R5, S8): splices
    `learners_html` and `learners_text`; or, by its `usage`, that most, or all, of what they bought is used."""
    language = spoken(locale)
    about = {Kind.ENROLMENT: language.enrolment, Kind.DIGEST: language.digest, Kind.PASSWORD: language.password}
    chosen = about[kind] if usage is None else usage.notice(language)
    figures = {} if usage is None else usage.figures(language)
    to_learner = kind in {Kind.ENROLMENT, Kind.DIGEST}
    phrases = {
        "greeting": language.learner_greeting if to_learner else language.admin_greeting,
        "opening": chosen.opening,
        "closing": chosen.closing,
        "footer": language.learner_footer if to_learner else language.admin_footer,
    }
    words = {name: _with_figures(phrase, figures) for name, phrase in phrases.items()}
    of = "courses" if to_learner else "learners"
    items = (f"[[raw:{of}_html]]", f"[[raw:{of}_text]]") if usage is None else ("", "")
    subject = _subject(_with_figures(chosen.subject, figures), branding.name)
    return subject, *_page("notice", words, language, branding, {"listing": items})


def listing(items: Iterable[str]) -> tuple[str, str]:
    """The items as an HTML list, escaped, and as lines of text: what notices splice in as raw values."""
    lines: list[str] = []
    room = LONGEST_LISTING
    names = list(items)
    for name in names:
        line = said(name)
        room -= len(line)
        if room < 0:
            lines.append(f"… (+{len(names) - len(lines)})")
            break
        lines.append(line)
    html = "".join(f'<li dir="auto">{escape(line)}</li>' for line in lines)
    return f"<ul>{html}</ul>", "\n".join(f"- {line}" for line in lines)


def _with_figures(phrase: str, figures: Mapping[str, str]) -> str:
    for name, figure in figures.items():
        phrase = phrase.replace(f"{{{name}}}", figure)
    return phrase


def _page(
    template: str,
    words: Mapping[str, str],
    language: Language,
    branding: Branding,
    contents: Mapping[str, tuple[str, str]],
) -> tuple[str, str]:
    """A frame with our own words in it, in which merge fields are tokens already, and with its contents, which are HTML
    and text: as HTML and as text."""
    name = said(branding.name)
    organisation = _escaped(name), _defused(name)
    there = {
        **{phrase: _phrase(words[phrase], organisation) for phrase in words},
        **contents,
        "organisation": organisation,
        "logo": (_escaped(branding.logo or ""), ""),
        **{colour: (getattr(branding, colour), "") for colour in ("band", "ink", "link")},
        "code": (language.code, ""),
        "direction": (language.direction, ""),
        "side": ("right" if language.direction == "rtl" else "left", ""),
    }
    html, text = _frame(f"{template}-logo.html" if branding.logo else f"{template}.html"), _frame(f"{template}.txt")
    return (
        _PLACE.sub(lambda place: there[place[1]][0] + place[2], html),
        _PLACE.sub(lambda place: there[place[1]][1] and there[place[1]][1] + place[2], text),
    )


def _phrase(phrase: str, organisation: tuple[str, str]) -> tuple[str, str]:
    """A phrase as HTML and as text, with the organisation's name in it."""
    field = str(Slot(MergeField.ORGANISATION))
    return phrase.replace(field, organisation[0]), plain(phrase).replace(field, organisation[1])


@cache
def _frame(file: str) -> str:
    return (Path(email_templates.__file__).parent / file).read_text(encoding="utf-8")


@lru_cache(maxsize=MADE)
def _body(body_markdown: str, organisation: str) -> tuple[str, str]:
    """What an admin wrote, as HTML and as text; compiled once, in however many languages the footer speaks."""
    source = _LINE_BREAK.sub("\n", body_markdown).rstrip()
    parts = parse(source)
    placeholders = Placeholders(parts)
    html, text = letter(source, parts, placeholders)
    return _html(html, placeholders, organisation), _text(text, placeholders, organisation)


def _subject(subject: str, organisation: str) -> str:
    try:
        parts = parse(subject, "Subject")
        refuse_slots(parts, MOST_SLOTS_OF_SUBJECT, "The subject")
        placeholders = Placeholders(parts)
        return _text(placeholders.source, placeholders, organisation)
    except MergeError as problem:
        raise SubjectError(str(problem)) from None


def _html(html: str, placeholders: Placeholders, organisation: str) -> str:
    """HTML with the organisation's name and the other fields in place of their stand-ins."""

    def put(slot: Slot) -> str:
        known = _known(slot, organisation)
        return str(slot) if known is None else _escaped(known)

    return placeholders.finish(html.translate(_IN_HTML), put)


def _text(text: str, placeholders: Placeholders, organisation: str) -> str:
    """The same for text; the name first, since a token could be made of it and of what stands beside it."""
    named = placeholders.replace(text, lambda slot: _known(slot, organisation))
    return placeholders.finish(_defused(named), str)


def _known(slot: Slot, organisation: str) -> str | None:
    """What is the same for every recipient."""
    return slot.fill({slot.field: organisation}) if slot.field is MergeField.ORGANISATION else None


def _escaped(text: str) -> str:
    return str(escape(text)).translate(_IN_HTML)


def _defused(text: str) -> str:
    return _OPENS_TOKEN.sub(rf"\g<0>{_WORD_JOINER}", text)
