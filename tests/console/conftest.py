"""The console, served on a real socket, and people who are signed in there."""

import html
import http.client
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.cookies import SimpleCookie
from urllib.parse import urlencode, urlsplit

import pytest

from config.database import transaction
from config.runtime import Runtime
from tasks import accounts, mail
from tasks.accounts import Role
from tasks.acts import accounts as account_acts
from tasks.acts import webhooks
from tasks.acts.accounts import NewToken
from tasks.acts.signing_in import link_for_this_machine
from tasks.acts.webhooks import WebhookAddition
from tests.acts.doing import do
from tests.console.browser import AXE, CHROMIUM, DRIVER, Browser, browser
from tests.workers.serving import served
from tests.world import World

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
PARTS = {"Content-Type": "multipart/form-data; boundary=parts"}


def parts_of(fields: list[tuple[str, str]], name: str, content: bytes) -> bytes:
    """A form of fields and, at its end, a file, as a browser sends it."""
    each = [f'Content-Disposition: form-data; name="{key}"\r\n\r\n{value}'.encode() for key, value in fields]
    quoted = name.replace('"', "%22")
    each.append(f'Content-Disposition: form-data; name="file"; filename="{quoted}"\r\n\r\n'.encode() + content)
    return b"".join(b"--parts\r\n" + one + b"\r\n" for one in each) + b"--parts--\r\n"


class Forms(HTMLParser):
    """The fields of the forms of a page, as a browser without scripts sends them, by where they are sent to."""

    def __init__(self, page: str, at: str) -> None:
        super().__init__()
        self.found: dict[str, list[tuple[str, str]]] = {}
        self._at, self._form = at, ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take a form, or a field of the one that is open."""
        said = {name: value or "" for name, value in attrs}
        if tag == "form" and said.get("method") == "post":
            self._form = said.get("action") or self._at
            self.found.setdefault(self._form, [])
        elif tag == "form":
            self._form = ""
        elif (
            tag == "input"
            and self._form
            and "name" in said
            and (said.get("type") not in {"checkbox", "radio"} or "checked" in said)
        ):
            unsaid = "on" if said.get("type") in {"checkbox", "radio"} else ""
            self.found[self._form].append((said["name"], said.get("value", unsaid)))


@dataclass
class Visitor:
    """Somebody with a browser that runs no script: it keeps cookies, and sends forms as its pages have them."""

    url: str
    cookies: dict[str, str] = field(default_factory=dict)
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    text: str = ""
    at: str = ""

    def open(
        self, path: str, fields: list[tuple[str, str]] | None = None, method: str = "GET", **headers: str
    ) -> "Visitor":
        """Open a page or, with fields, send a form; go where that leads to."""
        if fields is None:
            return self._ask(method, path, None, headers)
        return self._ask("POST", path, urlencode(fields).encode(), headers | FORM)

    def drop(self, path: str, fields: list[tuple[str, str]], name: str, content: bytes, **headers: str) -> "Visitor":
        """Send a form with a file; go where that leads to."""
        return self._ask("POST", path, parts_of(fields, name, content), headers | PARTS)

    def _ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> "Visitor":
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        whole = path if path.startswith("/") else f"/console/{path}"
        connection.request(method, whole, body, sent)
        response = connection.getresponse()
        self.at, self.status, self.text = whole, response.status, response.read().decode()
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        for name, value in response.getheaders():
            if name.lower() == "set-cookie":
                for key, morsel in SimpleCookie(value).items():
                    self.cookies[key] = morsel.value
                    if morsel["max-age"] == "0":
                        del self.cookies[key]
        connection.close()
        if self.status == 303 and not self.headers["location"].endswith("/sign-in"):
            return self.open(self.headers["location"])
        return self

    def send(self, to: str, *said: tuple[str, str], leave: frozenset[str] = frozenset()) -> "Visitor":
        """Send the form of this page that goes there, with these fields besides or filled in, and without some."""
        filled = {name for name, _ in said}
        sent = [one for one in self.form(to) if one[0] not in leave and (one[1] or one[0] not in filled)]
        return self.open(to, [*sent, *said], Sec_Fetch_Site="same-origin", Origin=self.url)

    def form(self, to: str) -> list[tuple[str, str]]:
        """The fields of the form of this page that goes there."""
        return Forms(self.text, self.at).found[to if to.startswith("/") else f"/console/{to}"]

    def undo(self) -> "Visitor":
        """Press Undo in the message that says what was done."""
        form = self.text.split('<div class="flash">')[1].split("</form>")[0]
        to = html.unescape(re.findall(r'action="([^"]+)"', form)[0])
        fields = re.findall(r'name="([^"]+)" value="([^"]*)"', form)
        return self.open(to, [(name, html.unescape(value)) for name, value in fields], Sec_Fetch_Site="same-origin")

    @property
    def made_of(self) -> str:
        """The tag by which a page that follows what happens says what it was made of."""
        return str(re.findall(r'data-stream="([^"]+)"', self.text)[0])

    @property
    def says(self) -> str:
        """What the page says, without its tags."""
        return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", self.text)).split())


@dataclass(frozen=True)
class Consoled:
    """A world whose console is served."""

    world: World
    runtime: Runtime

    def visitor(self, role: Role | None = Role.ADMIN, *organisations: str) -> Visitor:
        """Somebody who is signed in with this role; None: nobody."""
        visitor = Visitor(self.runtime.endpoints.public_url)
        if role is not None:
            of = [] if role is Role.OPERATOR else [*organisations] or ["acme"]
            visitor.cookies["rollcall"] = self.session(role, of)
        return visitor

    def link(self) -> str:
        """A link that lets an operator in."""
        return urlsplit(link_for_this_machine(self.runtime, "ops")).path

    def session(self, role: Role, organisations: list[str]) -> str:
        """The cookie of a new session."""
        with transaction(self.runtime.engine) as connection:
            email = f"{role}-{'-'.join(organisations)}@acme.example"
            accounts.add_account(connection, email, role, organisations, "root")
            known = accounts.account_of(connection, email)
            assert known is not None
            return accounts.begin_session(connection, known.account, None)


def technical(world: World) -> None:
    """Something of all that is technical: what each of two may decide about."""
    for n in range(4):
        world.starts(f"ghost{n}", "safety")
    with world.about("acme") as (connection, org):
        for n in range(3):
            mail.suppress(connection, org.organisation, f"a{n}@acme.example", mail.Suppressed.HARD, why=None)
    world.execute(
        "INSERT INTO work (organisation, queue, actor, subject, state, due_at)"
        " SELECT 1, 'bulk', 'mail.deliver', 7, 'failing', now() + interval '1 hour' FROM generate_series(1, 2)"
    )
    hook = WebhookAddition("https://hooks.invalid/x", id="hook")
    do(world, webhooks.add, hook)
    do(world, webhooks.of_platform["webhooks.add"], hook, None)
    do(world, account_acts.add_token, NewToken("spare", Role.OPERATOR), None)


@pytest.fixture
def console(world: World) -> Iterator[Consoled]:
    """The world, its console served."""
    with served(world.runtime) as runtime:
        yield Consoled(world, runtime)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A browser, which takes longer to start than a test does with it: each has a window of its own."""
    if not (DRIVER and CHROMIUM and AXE.exists()):
        pytest.skip("there is no Chromium with its driver and axe: run .ci/browser")
    with browser() as found:
        yield found
