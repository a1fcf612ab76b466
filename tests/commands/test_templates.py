"""`rollcall templates`: each kind of mail as files, and a picture where there is a browser."""

import socket
import struct
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tasks import mail
from tasks.mail.composing.merge import one_line
from tests.commands.console import Rollcall, printed, refused, rollcall
from tests.world import World
from workers import browser

__all__ = ["refused", "rollcall"]  # fixtures

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def without_browser(rollcall: Rollcall, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which the setting names no program."""
    monkeypatch.setenv("ROLLCALL_BROWSER", "no-such-browser")


@pytest.fixture
def found_browser() -> str:
    """A browser that is there."""
    try:
        return browser.find(None)
    except browser.NoPicture as problem:
        pytest.skip(str(problem))


def size(png: Path) -> tuple[int, int]:
    """Width and height of a picture (PNG, 11.2.2)."""
    octets = png.read_bytes()
    assert octets.startswith(PNG)
    width, height = struct.unpack(">II", octets[16:24])
    return width, height


def test_each_kind_is_listed_with_its_languages(rollcall: Rollcall) -> None:
    listed = printed("templates-list", rollcall("templates", "list", "--json"))

    assert [entry["template"] for entry in listed] == list(mail.Kind)
    assert {tuple(entry["locales"]) for entry in listed} == {tuple(mail.LANGUAGES)}
    assert {entry["to"] for entry in listed} == {"learners", "admins"}


@pytest.mark.usefixtures("without_browser")
@pytest.mark.parametrize("kind", mail.Kind)
def test_each_kind_is_written_in_each_language(kind: mail.Kind, rollcall: Rollcall, tmp_path: Path) -> None:
    folder = tmp_path / "made" / "on the way"
    for locale in ("en", "nl-BE", "fr_FR", "pt"):
        result = rollcall("templates", "render", kind, "--locale", locale, "--out", str(folder), "--json")
        written = printed("templates-render", result)

        code = mail.spoken(locale).code
        assert (written["template"], written["locale"], written["organisation"]) == (kind, code, None)
        assert written["subject"]
        html, text = Path(written["html"]), Path(written["text"])
        assert (html, text) == (folder / f"{kind}.{code}.html", folder / f"{kind}.{code}.txt")
        reader = HTMLParser()
        reader.feed(html.read_text(encoding="utf-8"))
        assert reader.rawdata == ""
        assert "\n-- \n" in text.read_text(encoding="utf-8")
        assert written["png"] is None
        assert one_line(result.stderr) == (
            "No picture: ROLLCALL_BROWSER names no-such-browser, and there is no such program."
        )
    assert sorted(path.suffix for path in folder.iterdir()) == [".html"] * 3 + [".txt"] * 3


def test_without_a_picture_nothing_is_said_of_one(rollcall: Rollcall, tmp_path: Path) -> None:
    result = rollcall("templates", "render", "digest", "--no-png", "--out", str(tmp_path))

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.replace("\n", "") == f"{tmp_path}/digest.en.html{tmp_path}/digest.en.txt"


def test_an_organisations_own_look_is_shown(world: World, rollcall: Rollcall, tmp_path: Path) -> None:
    world.has_organisation(logo="https://cdn.acme.example/logo.png", colour="#Fde047")
    body = tmp_path / "letter.md"
    body.write_text("**Hello** {{ first_name }} of {{ organisation }}", encoding="utf-8")

    written = printed(
        "templates-render",
        rollcall(
            "templates", "render", "announcement", "-o", "acme", "--subject", "News", "--body", f"@{body}", "--no-png",
            "--out", str(tmp_path), "--json",
        ),
    )  # fmt: skip

    html = Path(written["html"]).read_text(encoding="utf-8")
    assert (written["organisation"], written["subject"]) == ("acme", "News")
    assert 'src="https://cdn.acme.example/logo.png"' in html
    assert "#fde047" in html
    assert Path(written["text"]).read_text(encoding="utf-8").startswith("*Hello* Anna of Acme Academy\n")


def test_pasted_addresses_are_links_in_html_and_text(rollcall: Rollcall, tmp_path: Path) -> None:
    letter = tmp_path / "letter.md"
    addresses = ("https://example.org/__preview__/course?x=1", "https://example.org/*2026*/programme")
    letter.write_text(f"See {addresses[0]} and {addresses[1]}.\n", encoding="utf-8")

    words = ("templates", "render", "announcement", "--no-png", "--out", str(tmp_path / "seen"), "--json")
    written = printed("templates-render", rollcall(*words, "--body", f"@{letter}"))

    assert f"See {addresses[0]} and {addresses[1]}.\n" in Path(written["text"]).read_text(encoding="utf-8")
    html = Path(written["html"]).read_text(encoding="utf-8")
    for address in addresses:
        assert f'<a href="{address}"' in html
        assert f">{address}</a>" in html


@pytest.mark.usefixtures("without_browser")
def test_what_cannot_be_done_is_said_in_one_line(
    rollcall: Rollcall, refused: Callable[..., str], tmp_path: Path
) -> None:
    render = ("templates", "render", "announcement", "--json", "--out")
    file = tmp_path / "file"
    file.touch()

    assert "ROLLCALL_BROWSER names no-such-browser" in refused(*render, str(tmp_path), "--png")
    assert "Line 3: {{ nobody }} is not a merge field" in refused(*render, str(tmp_path), "--body", "a\n\n{{ nobody }}")
    assert "Line 2: a link cannot lead to" in refused(*render, str(tmp_path), "--body", "a\n[x](/courses)")
    assert "The body has 201 merge fields" in refused(*render, str(tmp_path), "--body", "{{ email }} " * 201)
    assert "Subject: {{ is never closed" in refused(*render, str(tmp_path), "--subject", "{{ ")
    assert "There is no file" in refused(*render, str(tmp_path), "--body", f"@{tmp_path}/nowhere")
    assert "cannot be written" in refused(*render, str(file))
    assert "cannot be written" in refused(*render, str(file / "below"))
    assert "nobody" in refused(*render, str(tmp_path), "-o", "nobody")


@pytest.mark.parametrize("arguments", [("nothing",), ("digest", "--body", "x"), ("digest", "--subject", "x"), ()])
def test_wrong_usage_ends_with_2(rollcall: Rollcall, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    result = rollcall("templates", "render", *arguments, "--out", str(tmp_path / "none"))

    assert result.exit_code == 2
    assert not (tmp_path / "none").exists()


def test_a_picture_is_made_by_a_real_browser(found_browser: str, rollcall: Rollcall, tmp_path: Path) -> None:
    result = rollcall("templates", "render", "announcement", "--png", "--out", str(tmp_path), "--json")
    written = printed("templates-render", result)

    assert result.stderr == ""
    assert size(Path(written["png"]))[0] == browser.WIDTH


@pytest.mark.serves
def test_a_picture_is_as_tall_as_its_page_and_fetches_nothing(found_browser: str, tmp_path: Path) -> None:
    png = tmp_path / "page.png"
    with socket.create_server(("127.0.0.1", 0)) as server:
        at = f"http://127.0.0.1:{server.getsockname()[1]}"
        fetches = f"<img src={at}/a.png><script src={at}/a.js></script><link rel=stylesheet href={at}/a.css>"
        runs = "<script>document.body.style.height = '9000px'</script>"
        page = f'<body style="margin:0"><div style="height:1234px">{fetches}{runs}</div></body>'
        browser.picture(found_browser, f"<html><head></head>{page}</html>", png)

        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert size(png) == (browser.WIDTH, 1234)


@pytest.mark.serves
def test_a_browser_that_makes_no_picture_is_named(tmp_path: Path) -> None:
    program = tmp_path / "chromium"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)

    with pytest.raises(browser.NoPicture, match=r"chromium did not open the page\.$"):
        browser.picture(browser.find(str(program)), "<html><head></head><body></body></html>", tmp_path / "page.png")
    assert not (tmp_path / "page.png").exists()
