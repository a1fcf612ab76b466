"""`rollcall templates`: what mail looks like, before any is sent."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.mail import LANGUAGES, Kind
from tests.commands.test_output import Rollcall, printed, refused, rollcall
from workers.browser import PROGRAMS

__all__ = ["refused", "rollcall"]  # fixtures

Refusal = Callable[..., str]


def test_the_kinds_are_listed_with_their_languages(rollcall: Rollcall) -> None:
    listed = printed("templates-list", rollcall("templates", "list", "--json"))
    assert [entry["template"] for entry in listed] == [kind.value for kind in Kind]
    assert all(entry["locales"] == list(LANGUAGES) for entry in listed)


@pytest.mark.parametrize("kind", Kind)
def test_each_kind_is_written_as_html_and_as_text(rollcall: Rollcall, kind: Kind, tmp_path: Path) -> None:
    done = printed(
        "templates-render",
        rollcall("templates", "render", kind.value, "--locale", "nl-BE", "--out", str(tmp_path), "--no-png", "--json"),
    )
    assert (done["template"], done["locale"], done["png"]) == (kind.value, "nl", None)
    assert Path(done["html"]).read_text().startswith("<!doctype html>")
    assert "Aurora Learning" in Path(done["text"]).read_text()


def test_an_admins_own_words_are_rendered_and_their_mistakes_named(
    rollcall: Rollcall, refused: Refusal, tmp_path: Path
) -> None:
    letter = tmp_path / "letter.md"
    letter.write_text("Dear **{{ first_name }}**")
    words = ("templates", "render", "announcement", "--no-png", "--out", str(tmp_path))
    done = rollcall(*words, "--body", f"@{letter}", "--json")
    assert "Dear *Anna*" in Path(json.loads(done.stdout)["text"]).read_text()

    letter.write_text("Dear you\n\n{{ secret }}")
    assert refused(*words, "--body", f"@{letter}").startswith("Line 3: {{ secret }} is not a merge field.")
    assert rollcall("templates", "render", "digest", "--body", "x").exit_code == 2


def test_a_folder_that_cannot_be_written_is_refused(refused: Refusal, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    line = refused("templates", "render", "digest", "--out", str(tmp_path / "file" / "folder"))
    assert line.startswith("The files cannot be written")


def test_without_a_browser_there_is_no_picture_and_asked_for_one_it_is_refused(
    rollcall: Rollcall, refused: Refusal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROLLCALL_BROWSER", "no-such-browser")
    words = ("templates", "render", "digest", "--out", str(tmp_path))
    done = rollcall(*words, "--json")
    assert (done.exit_code, json.loads(done.stdout)["png"]) == (0, None)
    assert "no-such-browser" in refused(*words, "--png")


@pytest.mark.skipif(not any(map(shutil.which, PROGRAMS)), reason="no browser is there")
def test_with_a_browser_there_is_a_picture(rollcall: Rollcall, tmp_path: Path) -> None:
    done = rollcall("templates", "render", "announcement", "--out", str(tmp_path), "--png", "--json")
    assert Path(json.loads(done.stdout)["png"]).read_bytes().startswith(b"\x89PNG\r\n")
