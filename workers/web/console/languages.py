"""In which language, zone and colours somebody reads: catalogues of gettext, and dates and numbers by Babel."""

import gettext
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache, cached_property
from io import BytesIO
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

from babel import Locale
from babel.dates import format_timedelta
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal
from starlette.requests import Request

from config.phrases import known

#: The catalogues: `LANGUAGE/LC_MESSAGES/console.po`. English is what the templates say.
CATALOGUES = Path(__file__).with_name("locale")

#: The languages, by the name that each has for itself; the first is for everybody else.
LANGUAGES = {"en": "English", "nl": "Nederlands", "fr": "Français"}

#: How a page looks: as the system does, or always so.
THEMES = ("auto", "light", "dark")

#: Places in which a phrase may stand.
NESTED = {"where", "columns"}

_ACCEPTED = re.compile(r"\s*([A-Za-z]{1,8})(?:-[\w-]+)?\s*(?:;\s*q=([\d.]+)\s*)?")


@cache
def catalogue(language: str) -> gettext.NullTranslations:
    """What to say in a language."""
    source = CATALOGUES / language / "LC_MESSAGES" / "console.po"
    if not source.exists():
        return gettext.NullTranslations()
    compiled = BytesIO()
    with source.open("rb") as file:
        write_mo(compiled, read_po(file, locale=language))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


@cache
def known_zones() -> frozenset[str]:
    """Every time zone that there is here: to find them, many folders are looked through."""
    return frozenset(available_timezones())


@cache
def zones() -> list[str]:
    """The time zones to choose from."""
    return sorted(name for name in known_zones() if "/" in name and not name.startswith(("Etc/", "posix")))


@dataclass(frozen=True)
class Reading:
    """How somebody reads. `zone`: None until it is known; times are in UTC until then."""

    language: str
    zone: str | None = None
    theme: str = "auto"

    @classmethod
    def of(cls, request: Request) -> "Reading":
        """As the browser says, or somebody chose in it."""
        cookies = request.cookies
        language = cookies.get("rollcall-language")
        zone = cookies.get("rollcall-zone", "").replace("%2F", "/")
        theme = cookies.get("rollcall-theme", "")
        return cls(
            language if language in LANGUAGES else accepted(request.headers.get("accept-language", "")),
            zone if zone == "UTC" or zone in known_zones() else None,
            theme if theme in THEMES else "auto",
        )

    @cached_property
    def locale(self) -> Locale:
        """The conventions of dates and numbers."""
        return Locale.parse("en_GB" if self.language == "en" else self.language)

    @cached_property
    def words(self) -> gettext.NullTranslations:
        """What to say."""
        return catalogue(self.language)

    def translated(self, text: str) -> str:
        """A sentence that other doors say too, if it is one that we know; another text as it is."""
        found = known(text)
        if found is None:
            return text
        phrase, places = found
        said = {name: self.translated(place) if name in NESTED else place for name, place in places.items()}
        return self.words.gettext(phrase.says).format(**said)

    def number(self, number: float) -> str:
        """A number as it is written."""
        return format_decimal(number, locale=self.locale)

    def ngettext(self, one: str, many: str, n: int) -> str:
        """What to say of so many, with their `number` in it."""
        return self.words.ngettext(one, many, n).format(number=self.number(n), n=self.number(n))

    def moment(self, at: datetime) -> str:
        """A moment in the reader's zone."""
        local = at.astimezone(ZoneInfo(self.zone or "UTC"))
        return f"{self.day(local)} {local:%H:%M}"

    def day(self, day: date) -> str:
        """A day, in each of our languages as `d MMM y` of Babel, which takes long where a page has hundreds."""
        return f"{day.day} {self._months[day.month]} {day.year}"

    @cached_property
    def _months(self) -> Mapping[int, str]:
        months: Mapping[int, str] = self.locale.months["format"]["abbreviated"]
        return months

    def span(self, span: timedelta) -> str:
        """For how long."""
        return format_timedelta(span, locale=self.locale)

    def in_utc(self, at: datetime) -> str:
        """The same moment in UTC."""
        return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def accepted(header: str) -> str:
    """The first of our languages in what a browser wants most (RFC 9110, 12.5.4)."""
    wanted: list[tuple[float, str]] = []
    for part in header.split(",")[:20]:
        found = _ACCEPTED.fullmatch(part)
        if found and found[1].lower() in LANGUAGES:
            try:
                wanted.append((float(found[2] or 1), found[1].lower()))
            except ValueError:
                continue
    best = max((quality for quality, _ in wanted), default=0.0)
    return next((language for quality, language in wanted if quality == best > 0), "en")
