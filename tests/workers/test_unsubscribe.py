"""The link in a mail, followed: by a mailbox provider with one click, by a scanner, by a person."""

import http.client
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from html.parser import HTMLParser
from urllib.parse import urlencode, urlsplit

import pytest

from tasks.mail.composing.links import Links
from tests.mailserver import MailServer
from tests.workers.serving import served
from tests.world import World
from workers.web import unsubscribe
from workers.web.asking import Bulkhead
from workers.web.bodies import Bodies
from workers.web.pages import LONGEST_FORM

ONE_CLICK = {"List-Unsubscribe": "One-Click"}
AGAIN = {"Subscribe": "Again"}
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Answer:
    """What the server said, all of it but the time."""

    status: int
    headers: Mapping[str, str]
    text: str


@dataclass
class Page(HTMLParser):
    """A page as its reader has it: its language, its title, what it says, its one form."""

    html: str
    language: str | None = None
    words: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    button: dict[str, str | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.language = dict(attrs).get("lang") if tag == "html" else self.language
        self.button = dict(attrs) if tag == "button" else self.button

    def handle_data(self, data: str) -> None:
        self.words += [data.strip()] if self.tags and self.tags[-1] != "style" and data.strip() else []

    def pressed(self) -> dict[str, str]:
        """What the button sends."""
        return {str(self.button["name"]): str(self.button["value"])}


def ask(url: str, method: str = "GET", body: bytes | None = None, content_type: str = FORM) -> Answer:
    """One request, with no cookie and without following anything."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=20)
    connection.request(method, parts.path or "/", body, {} if body is None else {"Content-Type": content_type})
    with connection.getresponse() as response:
        headers = {name.lower(): value for name, value in response.getheaders() if name.lower() != "date"}
        return Answer(response.status, headers, response.read().decode())


def post(url: str, fields: Mapping[str, str]) -> Answer:
    """Send a form."""
    return ask(url, "POST", urlencode(fields).encode())


@pytest.fixture
def pages(world: World) -> Iterator[World]:
    """The world, with its pages served where the links in its mail lead."""
    with served(world.runtime) as runtime:
        world.runtime = runtime
        yield world


def link_to(mail: MailServer, address: str) -> str:
    """The link in the header of the last announcement for somebody."""
    last = [message["List-Unsubscribe"] for message in mail.to(address) if message["List-Unsubscribe"]][-1]
    return str(last).removeprefix("<").removesuffix(">")


def announced(world: World, id_: str = "news") -> str:
    """Announce something to A; the link in their mail."""
    if not world.ask("SELECT count(*) FROM learners"):
        world.has_learners("A", "B")
    world.announces(id_)
    world.settle()
    return link_to(world.mail, "a@acme.example")


def unsubscribed(world: World) -> list[str]:
    """Who is, by id."""
    return world.list("SELECT l.id FROM unsubscribed u JOIN learners l USING (organisation, learner) ORDER BY 1")


def multipart(fields: Mapping[str, str]) -> tuple[bytes, str]:
    """A form as browsers send files, which RFC 8058 prefers."""
    parts = [
        f'--xyz\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()
    ]
    return "".join((*parts, "--xyz--\r\n")).encode(), "multipart/form-data; boundary=xyz"


@pytest.mark.parametrize("encoding", ["form", "multipart"])
def test_r16_one_click_on_the_header_and_no_further_announcement_comes_but_notices_do(
    pages: World, encoding: str
) -> None:
    link = announced(pages)
    (message,) = pages.mail.to("a@acme.example")
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    body, content_type = multipart(ONE_CLICK) if encoding == "multipart" else (urlencode(ONE_CLICK).encode(), FORM)

    answer = ask(link, "POST", body, content_type)
    pages.announces("more")
    pages.has_course("safety", "everyone")
    pages.settle()

    assert answer.status == 200
    assert not {"location", "set-cookie"} & set(answer.headers)
    assert pages.progress("more").skipped == {"unsubscribed": 1}
    kinds = [str(one["Feedback-ID"]).split(":")[2] for one in pages.mail.to("a@acme.example")]
    assert kinds == ["announcement", "enrolment"]
    assert len(pages.mail.to("b@acme.example")) == 3


def test_a_second_click_changes_nothing(pages: World) -> None:
    link = announced(pages)
    first = post(link, ONE_CLICK)
    since = pages.list("SELECT since FROM unsubscribed")

    assert post(link, ONE_CLICK) == first
    assert pages.list("SELECT since FROM unsubscribed") == since


def test_whoever_opens_the_page_is_asked_first_and_can_come_back(pages: World) -> None:
    link = announced(pages)

    asked = Page(ask(link).text)
    gone = Page(post(link, asked.pressed()).text)
    opened_again = Page(ask(link).text)
    back = Page(post(link, gone.pressed()).text)

    assert asked.words[0] == "Announcements from Acme Academy"
    assert "Do you want no more announcements from Acme Academy by mail?" in asked.words
    assert asked.tags.count("form") == asked.tags.count("button") == asked.tags.count("h1") == 1
    assert "You get no more announcements from Acme Academy by mail." in gone.words
    assert (opened_again.words, opened_again.button) == (gone.words, gone.button)
    assert gone.words[-1] == "Subscribe again"
    assert "You get announcements from Acme Academy by mail again." in back.words
    assert back.pressed() == asked.pressed() == ONE_CLICK
    assert unsubscribed(pages) == []
    announced(pages, "more")
    assert len(pages.mail.to("a@acme.example")) == 2


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_scanner_that_follows_every_link_unsubscribes_nobody(pages: World, method: str) -> None:
    link = announced(pages)

    answer = ask(link, method)

    assert answer.status == 200
    assert bool(answer.text) is (method == "GET")
    assert unsubscribed(pages) == []


@pytest.mark.parametrize(
    ("locale", "language", "title"),
    [
        ("nl_BE", "nl", "Aankondigingen van Acme Academy"),
        ("fr", "fr", "Annonces envoyées par Acme Academy"),
        ("en-GB", "en", "Announcements from Acme Academy"),
        ("ja", "en", "Announcements from Acme Academy"),
        (None, "en", "Announcements from Acme Academy"),
    ],
)
def test_the_page_speaks_the_learners_language(pages: World, locale: str | None, language: str, title: str) -> None:
    pages.has_learners("A", locale=locale)

    page = Page(ask(announced(pages)).text)

    assert (page.language, page.words[0]) == (language, title)


def test_no_name_becomes_markup(pages: World) -> None:
    name = "<b>Acme</b> {organisation} & Sons"
    pages.has_organisation(name=name)

    page = Page(ask(announced(pages)).text)

    assert page.words[0] == f"Announcements from {name}"
    assert "b" not in page.tags


def test_no_link_but_one_of_ours_leads_anywhere_and_none_says_why(pages: World) -> None:
    link = announced(pages)
    base, _, token = link.removesuffix("/").rpartition("/")
    nobody = Links(pages.runtime.endpoints.public_url, [pages.runtime.endpoints.secret_key])
    foreign = Links(pages.runtime.endpoints.public_url, ["another key"])
    wrong = [
        foreign.base + foreign.token(1, 1),
        nobody.base + nobody.token(1, 99),
        nobody.base + nobody.token(99, 1),
        *(f"{base}/{altered}" for altered in (token[:-1], f"{token}A", token.swapcase(), "x", "%00", "x/y", "")),
    ]

    answers = [
        ask(url, method, body) for url in wrong for method, body in (("GET", None), ("POST", b"Subscribe=Again"))
    ]
    clicks = [post(url, ONE_CLICK) for url in wrong]

    assert {answer.status for answer in answers} == {404}
    assert [answer for answer in answers + clicks if answer != answers[0]] == []
    assert "Acme" not in answers[0].text
    assert unsubscribed(pages) == []


def test_r31_a_link_is_about_one_organisations_learner_alone(pages: World) -> None:
    link = announced(pages)
    pages.send(pages.event("organisation.saved", {"name": "Other", "licence": "seats"}, organisation="other"))
    pages.send(pages.event("learner.saved", pages.learner("A"), organisation="other"))

    post(link, ONE_CLICK)

    assert pages.rows(
        "SELECT o.id, l.id FROM unsubscribed JOIN organisations o USING (organisation)"
        " JOIN learners l USING (organisation, learner)"
    ) == [("acme", "A")]


def test_r31_the_page_has_the_rights_of_an_organisations_people_and_no_more(pages: World) -> None:
    link = announced(pages)
    pages.execute("DO $$ BEGIN EXECUTE format('REVOKE INSERT ON unsubscribed FROM %I', people()); END $$")

    assert post(link, ONE_CLICK).status == 500
    assert unsubscribed(pages) == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"List-Unsubscribe=Two-Click", 400),
        (b"List-Unsubscribe=One-Click&Subscribe=Again", 400),
        (b"\xff\xfe", 400),
        (b"a=b&" * 20 + b"List-Unsubscribe=One-Click", 400),
        (b"List-Unsubscribe=One-Click&x=" + b"x" * LONGEST_FORM, 413),
    ],
)
def test_a_form_that_is_none_of_ours_changes_nothing(pages: World, body: bytes, status: int) -> None:
    link = announced(pages)

    assert ask(link, "POST", body).status == status
    assert ask(link, "POST", body, "multipart/form-data; boundary=xyz").status == status
    assert ask(link, "POST", body, "application/json").status == status
    assert unsubscribed(pages) == []


def test_a_link_works_with_a_slash_at_its_end_or_without_and_by_no_other_method(pages: World) -> None:
    link = announced(pages)

    assert ask(link, "DELETE").status == ask(link, "PUT", b"List-Unsubscribe=One-Click").status == 405
    assert ask(link.removesuffix("/").rpartition("/")[0]).status == 404
    assert unsubscribed(pages) == []
    assert link.endswith("/")
    assert post(link.removesuffix("/"), ONE_CLICK).status == 200
    assert unsubscribed(pages) == ["A"]


def test_a_path_of_the_public_url_is_taken_away_on_the_way_or_not(world: World) -> None:
    endpoints = replace(world.runtime.endpoints, public_url="https://example.org/lms")
    bulkhead = Bulkhead(replace(world.runtime, endpoints=endpoints), "test", at_once=1, wait=1, seconds=1, statement=1)
    paths = {route.path for route in unsubscribe.routes(bulkhead, Bodies(LONGEST_FORM, 1))}

    assert paths == {"/unsubscribe/{token:path}", "/lms/unsubscribe/{token:path}"}


def test_the_page_is_kept_nowhere_and_its_address_told_nobody(pages: World) -> None:
    link = announced(pages)

    for answer in (ask(link), post(link, ONE_CLICK), ask(f"{link}x"), post(link, {})):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-robots-tag"] == "noindex, nofollow"
        assert answer.headers["x-content-type-options"] == "nosniff"
        policy = answer.headers["content-security-policy"].split("; ")
        assert {"default-src 'none'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"} < {*policy}
    assert "href" not in ask(link).text


def test_a_browser_applies_the_style_of_the_page_and_no_other(pages: World) -> None:
    answer = ask(announced(pages))
    style = answer.text.partition("<style>")[2].partition("</style>")[0]

    assert "main" in style
    assert (
        f"style-src 'sha256-{b64encode(sha256(style.encode()).digest()).decode()}'"
        in (answer.headers["content-security-policy"])
    )


def test_s15_who_was_deleted_unsubscribes_all_the_same(pages: World) -> None:
    link = announced(pages)
    pages.say("learner.deleted", learner="A")

    assert post(link, ONE_CLICK).status == 200
    assert post(link, AGAIN).status == 200


def test_a_database_that_is_away_is_said_so(world: World) -> None:
    nowhere = world.runtime.endpoints.database_url.replace("/test_", "/no_test_")

    with served(replace(world.runtime, endpoints=replace(world.runtime.endpoints, database_url=nowhere))) as runtime:
        links = Links(runtime.endpoints.public_url, [runtime.endpoints.secret_key])
        answer = post(links.base + links.token(1, 1), ONE_CLICK)

    assert (answer.status, answer.headers["retry-after"]) == (503, "60")
