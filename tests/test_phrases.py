"""What several doors say: each knows it again by its words, and says it as people meet it there."""

import io
import random
import re

import pytest

from config.phrases import PASSED, PHRASES, STRAY_FIELD, Phrase, known, typed
from tasks.imports import NotReadable, layout_of
from tasks.mail.composing import merge
from workers.web.console.languages import Reading

PLACE = re.compile(r"(?<!{){(\w+)}")

#: Something to stand in each place.
STANDS = {"line": "7"}


@pytest.mark.parametrize("phrase", PHRASES, ids=lambda one: one.says[:40])
def test_each_phrase_is_known_again_is_told_in_each_language_and_names_options_only_where_they_are_typed(
    phrase: Phrase,
) -> None:
    text = phrase(**{name: STANDS.get(name, "X") for name in PLACE.findall(phrase.says)})
    found = known(text)

    assert found is not None
    assert found[0] is phrase
    assert (Reading("en").translated(text), "--" in text, "rollcall " in text) == (text, False, False)
    assert all(Reading(language).translated(text) != text for language in ("nl", "fr"))
    assert typed(typed(text)) == typed(text), "more than one door may have it typed"


def test_a_text_that_is_no_phrase_stays_as_it_is() -> None:
    text = "Line up, and others too."

    assert (known(text), typed(text), Reading("fr").translated(text)) == (None, text, text)


def test_what_stands_in_a_place_is_told_too_if_it_is_a_phrase() -> None:
    [problem] = merge.problems("Dag,\n{{ voornaam }}", 5)

    assert known(str(problem)) is not None
    assert known(str(problem))[0] is STRAY_FIELD  # type: ignore[index]
    assert (
        Reading("nl")
        .translated(str(problem))
        .startswith("Regel 2: {{ voornaam }} is geen samenvoegveld. Schrijf {{ veld }}")
    )
    assert Reading("fr").translated(str(problem)).startswith("Ligne 2 : {{ voornaam }} n’est pas un champ de fusion.")


def test_a_time_that_has_passed_is_told_without_the_options_of_the_command_line() -> None:
    text = PASSED(when="2020-01-01 09:30 Europe/Brussels")

    assert text == "2020-01-01 09:30 Europe/Brussels has passed: choose a time that lies ahead."
    assert typed(text).endswith("has passed: leave --send-at out to send it when you launch it.")


@pytest.mark.parametrize("seed", range(20))
def test_octets_at_random_are_no_csv_file_in_so_many_words(seed: int) -> None:
    octets = random.Random(seed).randbytes(3000)  # noqa: S311 - not a secret

    with pytest.raises(NotReadable, match=r"^This is not a CSV file: save the table as CSV"):
        layout_of(io.BytesIO(octets))


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-16", "utf-8"])
def test_a_table_in_any_alphabet_is_one(encoding: str) -> None:
    names = "".join(f"N{n};Ваня{n};Παπαδόπουλος;عبد\n" for n in range(200))
    table = f"id;username;first_name;last_name;status\n{names}".encode(encoding)

    assert layout_of(io.BytesIO(table)).header[:2] == ("id", "username")
