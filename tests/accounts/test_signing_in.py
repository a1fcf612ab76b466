"""R34: people sign in at the real pages, over a real socket: cookies, forms from elsewhere, tries, links."""

import base64
import http.client
import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from http.cookies import SimpleCookie
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from argon2 import PasswordHasher
from starlette.responses import Response

from config.database import transaction
from config.errors import NotFound
from config.runtime import Runtime
from config.services import write_private
from tasks import accounts
from tasks.accounts import Caller, Door, Role, throttle
from tasks.accounts.totp import STEP_SECONDS, code_at
from tasks.acts import accounts as acts
from tasks.acts import signing_in
from tasks.acts.acting import perform
from tasks.acts.paging import PageAsked
from tasks.acts.signing_in import SignIn, SignInRefused, link_for_this_machine
from tests.workers.serving import served
from tests.world import World
from workers.commands import demo
from workers.web.signing_in import Cookies

ROOT = Caller("root", Door.COMMAND, Role.OPERATOR)
BOSS, GOOD = "boss@acme.example", "correct horse battery"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass
class Browser:
    """A browser: it keeps cookies, sends forms as its pages have them, and goes where it is sent."""

    url: str
    cookies: dict[str, str] = field(default_factory=dict)
    set_cookies: list[str] = field(default_factory=list)
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    text: str = ""
    at: str = ""

    def open(self, path: str, fields: dict[str, str] | None = None, method: str = "GET", **headers: str) -> "Browser":
        """Open a page or, with fields, send its form; follows one redirect."""
        self.at = path
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        kept = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        body = None if fields is None else urlencode(fields)
        sent = {
            "Cookie": kept,
            **({} if fields is None else FORM),
            **{k.replace("_", "-"): v for k, v in headers.items()},
        }
        connection.request("POST" if fields is not None else method, path, body, sent)
        response = connection.getresponse()
        self.status, self.text = response.status, response.read().decode()
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.set_cookies = [value for name, value in response.getheaders() if name.lower() == "set-cookie"]
        connection.close()
        for said in self.set_cookies:
            for name, morsel in SimpleCookie(said).items():
                self.cookies[name] = morsel.value
                if morsel["max-age"] == "0":
                    del self.cookies[name]
        return self

    def send(self, path: str | None = None, **fields: str) -> "Browser":
        """Send the form of the page that is open, filled in."""
        found = re.search(r'name="key" value="(\w+)"', self.text)
        return self.open(path or self.at, {"key": found[1] if found else "", **fields}, Sec_Fetch_Site="same-origin")

    def sign_in(self, email: str = BOSS, password: str = GOOD, code: str = "") -> "Browser":
        """Sign in by the form."""
        return self.open("/sign-in").send(email=email, password=password, code=code)

    def is_in(self) -> bool:
        """Whether the pages know who this is."""
        return "You are signed in" in self.open("/sign-in").text


@pytest.fixture(autouse=True)
def _cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords are hashed as always, and for a hundredth of the cost."""
    cheap = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    monkeypatch.setattr("tasks.accounts.passwords._hasher", lambda: cheap)


@pytest.fixture
def pages(world: World) -> Iterator[Runtime]:
    """The pages, and an account with a password."""
    has_account(world)
    with served(world.runtime) as runtime:
        yield runtime


def has_account(world: World, email: str = BOSS, role: Role = Role.ADMIN) -> None:
    asked = acts.NewAccount(email, role, [] if role is Role.OPERATOR else ["acme"])
    link = perform(world.runtime, ROOT, acts.add_account, asked).link
    signing_in.choose_password(world.runtime, link.rpartition("/")[2], GOOD, None)


def browser(pages: Runtime) -> Browser:
    return Browser(pages.endpoints.public_url)


def caller(pages: Runtime, cookie: str) -> Caller | None:
    with transaction(pages.engine) as connection:
        return accounts.caller_of_session(connection, cookie, "192.0.2.1", idle_seconds=43_200)


def test_somebody_signs_in_is_known_and_signs_out(pages: Runtime, world: World) -> None:
    one = browser(pages).sign_in()
    cookie = one.cookies["rollcall"]

    assert (one.status, one.headers["location"]) == (303, "sign-in")
    assert caller(pages, cookie) == Caller(BOSS, Door.CONSOLE, Role.ADMIN, frozenset({"acme"}), "192.0.2.1")
    assert f"You are {BOSS}, with the role admin of acme." in one.open("/sign-in").text
    one.send("/sign-out")
    assert (one.status, one.cookies) == (303, {})
    assert caller(pages, cookie) is None
    assert world.rows("SELECT who, door, address, act FROM audit WHERE act LIKE 'sessions%' ORDER BY at") == [
        (BOSS, "console", "127.0.0.1", "sessions.begin"),
        (BOSS, "console", "127.0.0.1", "sessions.end"),
    ]


def test_the_cookie_is_for_us_alone_and_of_the_host_where_there_is_https(pages: Runtime) -> None:
    said = browser(pages).sign_in().set_cookies[0]

    assert re.fullmatch(r"rollcall=\w{43}; HttpOnly; Path=/; SameSite=lax", said)


def test_over_https_the_cookies_are_secure_and_of_the_host_alone() -> None:
    cookies, response = Cookies.of("https://rollcall.example.org/prefix"), Response()
    for name in (cookies.session, cookies.form):
        cookies.set(response, name, "x")
        cookies.forget(response, name)

    said = [value.decode() for name, value in response.raw_headers if name == b"set-cookie"]
    assert said[0] == "__Host-rollcall=x; HttpOnly; Path=/; SameSite=lax; Secure"
    assert [one.partition("=")[0] for one in said[::2]] == ["__Host-rollcall", "__Host-rollcall-form"]
    assert all("; Path=/;" in one and "; Secure" in one and "Domain" not in one for one in said)


def test_the_demo_ends_with_a_link_where_the_database_is_embedded(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    identity = {"public_url": "http://127.0.0.1:8000", "secret_key": "x", "mail_from": "x"}
    write_private(world.runtime.home / "identity.json", json.dumps(identity))

    link = demo._sign_in_link(world.runtime)
    demo._print_account(demo.result_of([], alone=True), world.runtime.home, link)
    named = world.runtime.settings.model_copy(update={"database_url": "postgresql://db/x"})

    assert str(link).startswith("http://127.0.0.1:8000/sign-in/once/")
    assert str(link).endswith("?console")
    first, second = capsys.readouterr().out.splitlines()[-2:]
    assert first.startswith("   1. start every process, and let it run: ")
    assert first.endswith(" up")
    assert second == f"   2. open this link, once, and within half an hour: {link}"
    demo._print_account(demo.result_of([], alone=True), world.runtime.home, link, runs=True)
    said = capsys.readouterr().out
    assert said.endswith(f"To open the console\n   open this link, once, and within half an hour: {link}\n")
    assert "start every process" not in said
    assert demo._sign_in_link(replace(world.runtime, settings=named)) is None


def test_a_session_is_new_at_each_sign_in_and_the_old_one_ends(pages: Runtime) -> None:
    planted = browser(pages).sign_in().cookies["rollcall"]
    one = browser(pages).open("/sign-in")
    one.cookies["rollcall"] = planted
    one.send(email=BOSS, password=GOOD)

    assert one.cookies["rollcall"] != planted
    assert caller(pages, planted) is None
    assert one.is_in()


@pytest.mark.parametrize(
    ("email", "password"),
    [(BOSS, "wrong horse battery"), ("nobody@acme.example", GOOD), ("", ""), ("no address", GOOD), ("a\0@b", "\0")],
)
def test_whoever_is_refused_is_told_the_same(pages: Runtime, email: str, password: str) -> None:
    one = browser(pages).sign_in(email, password)

    assert (one.status, "rollcall" in one.cookies) == (403, False)
    assert "The address, the password or the code is wrong." in one.text
    assert email not in one.text or not email


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
def test_a_form_from_elsewhere_is_not_taken(pages: Runtime, headers: dict[str, str]) -> None:
    one = browser(pages).open("/sign-in")
    found = re.search(r'name="key" value="(\w+)"', one.text)
    assert found
    one.open("/sign-in", {"key": found[1], "email": BOSS, "password": GOOD}, **headers)

    assert (one.status, "rollcall" in one.cookies) == (403, False)
    one.sign_in()
    key = re.search(r'name="key" value="(\w+)"', one.open("/sign-in").text)
    assert key
    one.open("/sign-out", {"key": key[1]}, **headers)
    assert one.status == 403
    assert one.is_in()


def test_a_form_without_its_key_or_with_the_key_of_another_browser_is_not_taken(pages: Runtime) -> None:
    one, other = browser(pages).open("/sign-in"), browser(pages).open("/sign-in")
    key = re.search(r'name="key" value="(\w+)"', other.text)
    assert key
    for given in ("", "x", key[1], "é"):
        one.open("/sign-in", {"key": given, "email": BOSS, "password": GOOD})
        assert (one.status, "rollcall" in one.cookies) == (403, False)
    one.cookies.clear()
    assert one.open("/sign-in", {"key": key[1], "email": BOSS, "password": GOOD}).status == 403
    one.sign_in()
    for given in ("", "x"):
        assert one.open("/sign-out", {"key": given}).status == 403
    assert one.is_in()


def test_a_page_runs_nothing_and_is_kept_nowhere(pages: Runtime) -> None:
    one = browser(pages).open("/sign-in")

    assert "<script" not in one.text
    assert "default-src 'none'" in one.headers["content-security-policy"]
    assert (one.headers["cache-control"], one.headers["referrer-policy"]) == ("no-store", "no-referrer")


def test_too_many_tries_are_refused_before_the_password_is_looked_at(
    pages: Runtime, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    monkeypatch.setattr(accounts, "is_password", lambda _kept, said: looked.append(said))
    refused = 0
    for n in range(throttle.MOST_OF_ACCOUNT + 5):
        with pytest.raises(SignInRefused) as problem:
            signing_in.sign_in(world.runtime, SignIn(BOSS, GOOD), f"192.0.2.{n}")
        refused += bool(problem.value.wait)

    assert (len(looked), refused) == (throttle.MOST_OF_ACCOUNT, 5)
    one = browser(pages).sign_in()
    assert one.status == 429
    assert 0 < int(one.headers["retry-after"]) <= throttle.WINDOW_SECONDS


def test_a_new_password_by_a_link_ends_the_waiting_and_every_session(pages: Runtime, world: World) -> None:
    inside = browser(pages).sign_in()
    for _ in range(throttle.MOST_OF_ACCOUNT + 1):
        with pytest.raises(SignInRefused):
            signing_in.sign_in(world.runtime, SignIn(BOSS, "wrong"), "192.0.2.1")
    link = perform(pages, ROOT, acts.reset_password, acts.OneAccount(BOSS)).link

    one = browser(pages).open(urlsplit(link).path)
    one.send(password="another horse battery", again="another horse battery")

    assert (one.status, "The password is set" in one.text) == (200, True)
    assert not inside.is_in()
    assert browser(pages).sign_in(password="another horse battery").status == 303
    assert browser(pages).sign_in(password=GOOD).status == 403


def test_many_accounts_from_one_address_are_too_many(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "is_password", lambda *_: False)
    waits = []
    for n in range(throttle.MOST_OF_ADDRESS + 1):
        with pytest.raises(SignInRefused) as problem:
            signing_in.sign_in(world.runtime, SignIn(f"{n}@acme.example", GOOD), "2001:db8::1")
        waits.append(problem.value.wait)
    with pytest.raises(SignInRefused) as problem:
        signing_in.sign_in(world.runtime, SignIn("new@acme.example", GOOD), "2001:db8::2")

    assert [bool(wait) for wait in waits] == [False] * throttle.MOST_OF_ADDRESS + [True]
    assert problem.value.wait
    world.execute("UPDATE sign_in_tries SET until = now() - interval '1 second'")
    with pytest.raises(SignInRefused) as problem:
        signing_in.sign_in(world.runtime, SignIn("new@acme.example", GOOD), "2001:db8::2")
    assert problem.value.wait == 0
    assert world.ask("SELECT count(*) FROM sign_in_tries") == 2


def test_tries_at_the_same_moment_are_counted_one_by_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    has_account(world)
    looked: list[str] = []
    monkeypatch.setattr(accounts, "is_password", lambda _kept, said: looked.append(said))

    def attempt(n: int) -> int:
        with pytest.raises(SignInRefused) as problem:
            signing_in.sign_in(world.runtime, SignIn(BOSS, GOOD), f"192.0.2.{n % 3}")
        return problem.value.wait

    with ThreadPoolExecutor(6) as threads:
        waits = list(threads.map(attempt, range(3 * throttle.MOST_OF_ACCOUNT)))

    assert len(looked) == throttle.MOST_OF_ACCOUNT == waits.count(0)


def test_people_come_in_while_others_try(world: World) -> None:
    has_account(world)

    def attempt(n: int) -> bool:
        try:
            signing_in.sign_in(world.runtime, SignIn(BOSS, GOOD if n % 2 else "wrong"), "192.0.2.1")
        except SignInRefused as problem:
            return bool(problem.wait)
        return True

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(attempt, range(8))) == [False, True] * 4


def test_what_was_typed_is_kept_nowhere(world: World) -> None:
    with pytest.raises(SignInRefused):
        signing_in.sign_in(world.runtime, SignIn("Canary-Typed@acme.example", "canary-password-typed"), "192.0.2.77")

    tables = ("sign_in_tries", "accounts", "sessions", "sign_in_links", "audit")
    kept = [row for table in tables for row in world.list(f"SELECT CAST(to_jsonb(t) AS text) FROM {table} t")]
    assert len(kept) == 2
    assert not any(word in row.lower() for row in kept for word in ("canary", "192.0.2.77"))


def test_a_code_is_asked_for_besides_the_password_and_is_good_once(pages: Runtime) -> None:
    made = perform(pages, ROOT, acts.set_totp, acts.SecondFactorWish(BOSS))
    secret = base64.b32decode(parse_qs(urlsplit(made.uri or "").query)["secret"][0])
    code = code_at(secret, int(time.time()) // STEP_SECONDS)

    assert browser(pages).sign_in().status == 403
    assert browser(pages).sign_in(password="wrong horse battery", code=code).status == 403
    assert browser(pages).sign_in(code=code).status == 303
    assert browser(pages).sign_in(code=code).status == 403
    perform(pages, ROOT, acts.set_totp, acts.SecondFactorWish(BOSS, False))
    assert browser(pages).sign_in().status == 303


def test_a_session_ends_when_it_is_not_used_and_is_written_once_a_minute(pages: Runtime, world: World) -> None:
    cookie = browser(pages).sign_in().cookies["rollcall"]
    began = world.ask("SELECT used_at FROM sessions")

    assert caller(pages, cookie) is not None
    assert world.ask("SELECT used_at FROM sessions") == began
    world.execute("UPDATE sessions SET used_at = used_at - interval '2 minutes'")
    assert caller(pages, cookie) is not None
    assert world.ask("SELECT used_at > now() - interval '1 minute' FROM sessions")
    world.execute("UPDATE sessions SET used_at = used_at - interval '12 hours'")
    assert caller(pages, cookie) is None


def test_a_session_ends_when_its_account_is_disabled_or_signed_out(pages: Runtime) -> None:
    one = browser(pages).sign_in()
    listed = perform(pages, ROOT, acts.list_sessions, PageAsked()).items
    assert [(found.email, found.address) for found in listed] == [(BOSS, "127.0.0.1")]
    assert perform(pages, ROOT, acts.sign_out, acts.OneAccount(BOSS)).sessions == 1
    assert not one.is_in()
    one.sign_in()
    perform(pages, ROOT, acts.disable_account, acts.OneAccount(BOSS))

    assert not one.is_in()
    assert one.sign_in().status == 403
    with pytest.raises(NotFound):
        perform(pages, ROOT, acts.reset_password, acts.OneAccount(BOSS))


def test_an_account_that_is_made_anew_has_nothing_of_before(world: World) -> None:
    has_account(world, role=Role.OPERATOR)
    perform(world.runtime, ROOT, acts.disable_account, acts.OneAccount(BOSS))
    perform(world.runtime, ROOT, acts.add_account, acts.NewAccount(BOSS.upper(), Role.READER, ["acme"]))

    (found,) = perform(world.runtime, ROOT, acts.list_accounts, PageAsked()).items

    assert (found.email, found.role, found.organisations, found.has_password) == (BOSS, "reader", ["acme"], False)
    with pytest.raises(SignInRefused):
        signing_in.sign_in(world.runtime, SignIn(BOSS, GOOD), None)


def test_a_link_to_choose_a_password_is_good_once_for_a_day_and_not_used_up_by_looking(
    pages: Runtime, world: World
) -> None:
    path = urlsplit(perform(pages, ROOT, acts.reset_password, acts.OneAccount(BOSS)).link).path
    one = browser(pages)
    until = world.ask(
        "SELECT until - now() > interval '23 hours' AND until < now() + interval '25 hours' FROM sign_in_links"
    )

    assert until
    assert one.open(path).status == one.open(path, method="HEAD").status == one.open(path).status == 200
    assert BOSS in one.text
    for password, again in (("short", "short"), (GOOD, "not the same")):
        assert one.send(path, password=password, again=again).status == 422
        assert 'role="alert"' in one.text
    assert one.send(password=GOOD, again=GOOD).status == 200
    assert one.open(path).status == 404
    assert one.open(path, {"password": GOOD, "again": GOOD, "key": ""}).status == 404
    later = urlsplit(perform(pages, ROOT, acts.reset_password, acts.OneAccount(BOSS)).link).path
    world.execute("UPDATE sign_in_links SET until = now() - interval '1 second'")
    assert one.open(later).status == 404


def test_a_newer_link_voids_the_one_before(pages: Runtime) -> None:
    first, second = (
        urlsplit(perform(pages, ROOT, acts.reset_password, acts.OneAccount(BOSS)).link).path for _ in range(2)
    )

    assert browser(pages).open(first).status == 404
    assert browser(pages).open(second).status == 200


def test_the_person_at_this_machine_is_let_in_once_as_an_operator(pages: Runtime, world: World) -> None:
    link = urlsplit(link_for_this_machine(pages, "root"))
    assert world.ask("SELECT until <= now() + interval '30 minutes' FROM sign_in_links")
    assert browser(pages).open(link.path, method="HEAD").status == 404
    one = browser(pages).open(link.path)

    assert (one.status, one.headers["location"]) == (303, "../../sign-in")
    assert "You are root@localhost, with the role operator of all organisations." in one.open("/sign-in").text
    assert browser(pages).open(link.path).status == 404
    opened = browser(pages).open(f"{urlsplit(link_for_this_machine(pages, 'root')).path}?console")
    assert (opened.status, opened.headers["location"]) == (303, "../../console")
    assert urlsplit(link_for_this_machine(pages, "root")).path != link.path
    assert world.ask("SELECT count(*) FROM accounts WHERE role = 'operator'") == 1


def test_each_link_that_the_person_at_this_machine_was_shown_lets_them_in_once(pages: Runtime) -> None:
    links = [urlsplit(link_for_this_machine(pages, "root")).path for _of in ("rollcall demo", "rollcall up")]

    assert [browser(pages).open(link).status for link in links] == [303, 303]
    assert [browser(pages).open(link).status for link in links] == [404, 404]


@pytest.mark.parametrize("path", ["/sign-in/once/", "/sign-in/else/x", "/sign-in/password/%00", "/sign-in/once/%ff/x"])
def test_what_is_no_link_is_not_found(pages: Runtime, path: str) -> None:
    assert browser(pages).open(path).status == 404


def test_where_passwords_would_travel_openly_nobody_signs_in(world: World) -> None:
    endpoints = replace(world.runtime.endpoints, public_url="http://rollcall.example.org")
    runtime = replace(world.runtime, endpoints=endpoints)

    with pytest.raises(Exception, match="travel openly"):
        perform(runtime, ROOT, acts.add_account, acts.NewAccount(BOSS, Role.ADMIN, ["acme"]))
    assert world.ask("SELECT count(*) FROM accounts") == 0
