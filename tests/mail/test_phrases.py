"""Our own words: every language says all that English says, and every mail speaks its reader's."""

import re
from dataclasses import asdict
from typing import Any

import pytest

from tasks.mail.composing.branding import Branding
from tasks.mail.composing.merge import MergeField, Slot, parse
from tasks.mail.composing.phrases import LANGUAGES, Language, spoken
from tasks.mail.composing.samples import AURORA, sample
from tasks.mail.composing.templates import Usage, notice
from tasks.mail.rules import Kind
from tests.mail.test_merge import received
from tests.world import World

ENGLISH = LANGUAGES["en"]
NOT_WORDS = {"code", "direction", "thousands"}
languages = pytest.mark.parametrize("language", LANGUAGES.values(), ids=LANGUAGES)


def phrases(language: Language) -> dict[str, str]:
    """Every phrase, by its place."""
    found: dict[str, str] = {}
    for name, said in asdict(language).items():
        if isinstance(said, dict):
            found |= {f"{name}.{part}": phrase for part, phrase in said.items()}
        elif name not in NOT_WORDS:
            found[name] = said
    return found


def holds(phrase: str) -> tuple[list[str], list[tuple[MergeField, bool]]]:
    """The figures in a phrase; its merge fields, and whether each has a default."""
    slots = [(part.field, part.default != "") for part in parse(phrase) if isinstance(part, Slot)]
    return sorted(re.findall(r"(?<!\{)\{[a-z]+\}", phrase)), sorted(slots)


@languages
def test_every_language_says_all_that_english_says(language: Language) -> None:
    said, in_english = phrases(language), phrases(ENGLISH)

    assert all(phrase.strip() == phrase != "" for phrase in said.values())
    assert {name: holds(phrase) for name, phrase in said.items()} == {
        name: holds(phrase) for name, phrase in in_english.items()
    }
    if language is not ENGLISH:
        assert [name for name, phrase in said.items() if phrase == in_english[name]] == []


@pytest.mark.parametrize(
    ("locale", "code"),
    [
        ("nl", "nl"), ("nl-BE", "nl"), ("NL_be", "nl"), ("fr_FR", "fr"), ("fr-Latn-CH", "fr"), ("en-GB", "en"),
        ("pt", "en"), ("", "en"), ("-", "en"), ("nlx", "en"), ("../../etc", "en"), ("{{ nl }}", "en"), ("\0", "en"),
    ],
)  # fmt: skip
def test_a_locale_is_spoken_to_in_its_language_or_in_english(locale: str, code: str) -> None:
    assert spoken(locale).code == code


@languages
@pytest.mark.parametrize("kind", Kind)
def test_each_kind_of_mail_is_whole_in_each_language(kind: Kind, language: Language) -> None:
    seen = sample(kind, AURORA, language.code)

    announced = kind is Kind.ANNOUNCEMENT  # the language of what an admin writes is not known
    opens = 'lang="und" dir="auto"' if announced else f'lang="{language.code}" dir="{language.direction}"'
    assert re.search(f"<html [^>]*{opens}", seen.html)
    assert f'<div lang="{language.code}" dir="{language.direction}">' in seen.html
    footer = language.learner_footer if kind in LEARNERS else language.admin_footer
    said = footer.replace("{{ organisation }}", "Aurora Learning")
    assert said in seen.html
    assert f"\n\n-- \n{said}" in seen.text
    for text in seen:
        assert not re.search(r"\{\{|\}\}|\[\[raw:|place-of-|[\ufdd0\ufdd1]", text)
    assert not re.search(r"\{[a-z]+\}", seen.subject + seen.text)


LEARNERS = {Kind.ANNOUNCEMENT, Kind.ENROLMENT, Kind.DIGEST}


@languages
@pytest.mark.parametrize("unit", ["seat", "credit"])
@pytest.mark.parametrize(("used", "pool"), [(1_612, 2_000), (2_000, 2_000), (12_001, 2_000), (0, 0)])
def test_figures_are_written_as_the_language_writes_them(language: Language, unit: str, used: int, pool: int) -> None:
    subject, page, text = received(notice(Kind.SEATS, Branding("Acme"), language.code, Usage(unit, used, pool)), {})

    assert (
        f"{1_000:,}".replace(",", language.thousands)
        == {"en": "1,000", "nl": "1.000", "fr": "1\u202f000"}[language.code]
    )
    for said in (page.text, text):
        assert f"{used:,}".replace(",", language.thousands) in said
        assert f"{pool:,}".replace(",", language.thousands) in said
    assert ("%" in subject) == (used < pool)
    assert "Acme" in subject
    assert not re.search(r"[{}]", subject + page.text + text)


def test_an_announcement_is_the_admins_and_its_footer_the_recipients(world: World) -> None:
    locales: dict[str, Any] = {"A": "nl-BE", "B": "fr_FR", "C": "pt", "D": None}
    for learner, locale in locales.items():
        world.has_learners(learner, locale=locale)

    world.announces(body="Guten Tag {{ first_name }}.")
    world.settle()

    for learner, code in zip(locales, ("nl", "fr", "en", "en"), strict=True):
        [message] = world.mail.to(f"{learner.lower()}@acme.example")
        text = message.get_body(("plain",))
        assert text is not None
        body, _, footer = text.get_content().replace("\r\n", "\n").partition("\n\n-- \n")
        assert body == f"Guten Tag First{learner}."
        assert footer.startswith(LANGUAGES[code].learner_footer.replace("{{ organisation }}", "Acme Academy"))
        assert LANGUAGES[code].unsubscribe in footer
