"""The languages of the console: everything is translated, with the same places, and as a browser or somebody asks."""

import ast
import re
from datetime import UTC, datetime
from io import BytesIO

import pytest
from babel.dates import format_date, format_datetime
from babel.messages.pofile import read_po

from workers.catalogues import CONSOLE, path_of, updated
from workers.web.console.languages import LANGUAGES, Reading, accepted


@pytest.mark.parametrize("language", ["nl", "fr"])
def test_everything_is_translated_and_keeps_its_places(language: str) -> None:
    written = path_of(language).read_bytes()
    untranslated, torn = [], []
    for message in read_po(BytesIO(written), locale=language):
        said = message.string if isinstance(message.string, tuple) else (message.string,)
        source = message.id if isinstance(message.id, tuple) else (message.id,)
        if not message.id:
            continue
        if not all(said):
            untranslated.append(message.id)
        places = [sorted(re.findall(r"%\(\w+\)s|{\w+}", one)) for one in (*said, *source)]
        if any(one != places[0] for one in places):
            torn.append(message.id)

    assert updated(language) == written, "run python -m workers.catalogues"
    assert (untranslated, torn) == ([], [])


def test_no_message_is_within_a_literal_where_python_3_11_does_not_find_it() -> None:
    literals = [
        part
        for path in sorted(CONSOLE.rglob("*.py"))
        for literal in ast.walk(ast.parse(path.read_text()))
        if isinstance(literal, ast.JoinedStr)
        for part in ast.walk(literal)
    ]
    called = [one.func.id for one in literals if isinstance(one, ast.Call) and isinstance(one.func, ast.Name)]
    assert not {"gettext", "ngettext", "_"} & set(called)


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("nl-BE,nl;q=0.9,en;q=0.8", "nl"),
        ("de-DE,de;q=0.9,fr;q=0.8,en;q=0.7", "fr"),
        ("en;q=0.1, FR-ca ; q=0.5", "fr"),
        ("nl;q=0, en", "en"),
        ("nl;q=0", "en"),
        ("nl;q=..", "en"),
        ("*", "en"),
        ("fr" * 5000, "en"),
    ],
)
def test_the_language_is_what_the_browser_wants_most(header: str, language: str) -> None:
    assert accepted(header) == language


@pytest.mark.parametrize("language", LANGUAGES)
def test_days_are_as_babel_writes_them(language: str) -> None:
    reader = Reading(language)

    for month in range(1, 13):
        at = datetime(2026, month, 9, 5, 7, tzinfo=UTC)
        assert reader.day(at.date()) == format_date(at.date(), "d MMM y", locale=reader.locale)
        assert reader.moment(at) == format_datetime(at, "d MMM y HH:mm", locale=reader.locale)


def test_numbers_and_times_are_as_the_reader_writes_them() -> None:
    at = datetime(2026, 7, 1, 22, 30, tzinfo=UTC)

    assert Reading("en", "Europe/Amsterdam").moment(at) == "2 Jul 2026 00:30"
    assert Reading("nl").moment(at) == "1 jul 2026 22:30"
    assert Reading("fr", "America/New_York").moment(at) == "1 juil. 2026 18:30"
    assert [Reading(one).number(1234567) for one in ("en", "nl", "fr")] == [
        "1,234,567",
        "1.234.567",
        "1\u202f234\u202f567",
    ]
    assert Reading("fr").words.ngettext("{number} user is active now.", "{number} users are active now.", 0) == (
        "{number} utilisateur est désormais actif."
    )
    assert Reading("en").in_utc(at) == "2026-07-01 22:30:00 UTC"
