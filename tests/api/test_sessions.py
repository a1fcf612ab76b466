"""R34: somebody who is signed in does by the API what their role may, from our own pages alone."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from argon2 import PasswordHasher

from config.database import transaction
from tasks import accounts
from tasks.accounts import Role
from tasks.acts import accounts as acts
from tasks.acts import signing_in
from tasks.acts.acting import perform
from tasks.acts.signing_in import SignIn
from tests.accounts.test_signing_in import BOSS, GOOD, ROOT, has_account
from tests.api.conftest import ApiAnswer, Client, Served
from workers.web.api import limits
from workers.web.api.limits import STRANGERS_AT_ONCE


@pytest.fixture(autouse=True)
def _cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords are hashed as always, and for a hundredth of the cost."""
    cheap = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    monkeypatch.setattr("tasks.accounts.passwords._hasher", lambda: cheap)


def signed_in(api: Served, role: Role = Role.ADMIN) -> tuple[Client, str, str]:
    """Somebody who signs in: without a token, their cookie, and the key of their forms."""
    has_account(api.world, role=role)
    runtime = api.world.runtime
    cookie = signing_in.sign_in(runtime, SignIn(BOSS, GOOD), "192.0.2.1").cookie
    return api.client(None), f"rollcall={cookie}", accounts.form_key(runtime.endpoints.secret_key, cookie)


def test_r34_a_person_does_what_their_role_may_and_it_is_written_down_as_theirs(api: Served) -> None:
    api.world.has_learners("A")
    who, cookie, key = signed_in(api)
    done = who.post("learners/A/deactivate", Cookie=cookie, X_CSRF_Token=key, Sec_Fetch_Site="same-origin")

    assert (done.status, done.json["changed"]) == (200, True)
    assert who.ask("GET", "learners/A", Cookie=cookie).json["status"] == "inactive"
    assert who.ask("GET", "/accounts", Cookie=cookie).status == 403
    assert replace(who, organisation="borealis").ask("GET", "learners", Cookie=cookie).status == 404
    api.world.has_course("safety", "everyone")
    asked, pairs = {"learner": "A", "course": "safety"}, {"learners": ["A"], "courses": ["safety"]}
    one = who.ask("GET", "access", query=asked, Cookie=cookie)
    many = who.ask("POST", "access", pairs, Cookie=cookie, X_CSRF_Token=key, Sec_Fetch_Site="same-origin")
    assert [one.json["because"], *(pair["because"] for pair in many.json)] == [["active"], ["active"]]
    written = "SELECT DISTINCT who, door, address, act FROM audit WHERE act LIKE 'learners.%'"
    assert api.world.rows(written) == [(BOSS, "console", "127.0.0.1", "learners.deactivate")]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_request_that_changes_something_needs_the_key_of_the_session(api: Served, method: str) -> None:
    who, cookie, key = signed_in(api, Role.OPERATOR)
    path = {"POST": "tokens", "PUT": "segments/x", "PATCH": "announcements/x", "DELETE": "tokens/x"}[method]
    path = f"/{path}" if path.startswith("tokens") else path

    def tried(**headers: Any) -> ApiAnswer:
        return who.ask(method, path, {}, Cookie=cookie, **headers)

    other = accounts.form_key(api.world.runtime.endpoints.secret_key, "another")
    for said in ("", "x", other, key.upper(), "\xe9"):
        refused = tried(X_CSRF_Token=said)
        assert (refused.status, refused.json["type"].endswith("#forbidden")) == (403, True)
    assert tried().status == 403
    for elsewhere in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "none"},
    ):
        assert tried(X_CSRF_Token=key, **elsewhere).status == 403, elsewhere
    assert api.world.ask("SELECT count(*) FROM audit WHERE who = :who AND act <> 'sessions.begin'", who=BOSS) == 1
    assert tried(X_CSRF_Token=key, Origin=api.public_url, Sec_Fetch_Site="same-origin").status in {404, 422}


def test_another_site_does_not_read_by_a_session_either(api: Served) -> None:
    who, cookie, _ = signed_in(api)

    for site in ("cross-site", "same-site"):
        answer = who.ask("GET", "learners", Cookie=cookie, Sec_Fetch_Site=site)
        assert (answer.status, "items" in answer.json) == (403, False)
    for site in ("same-origin", "none"):
        answer = who.ask("GET", "learners", Cookie=cookie, Sec_Fetch_Site=site)
        assert (answer.status, answer.headers["cache-control"]) == (200, "no-store")
        assert not {name for name in answer.headers if name.startswith("access-control")}
    assert who.ask("OPTIONS", "learners", Origin="https://evil.example").status == 405


def test_a_session_that_ended_is_nobodys_at_once(api: Served) -> None:
    who, cookie, key = signed_in(api)
    assert who.ask("GET", "learners", Cookie=cookie).status == 200
    perform(api.world.runtime, ROOT, acts.sign_out, acts.OneAccount(BOSS))

    for sent in (cookie, "rollcall=", "rollcall=x", "rollcall=é"):
        assert who.ask("GET", "learners", Cookie=sent).status == 401, sent
    assert who.post("learners/A/activate", Cookie=cookie, X_CSRF_Token=key).status == 401


def test_a_new_password_and_a_disabled_account_end_what_was_begun(api: Served) -> None:
    who, cookie, _ = signed_in(api)
    link = perform(api.world.runtime, ROOT, acts.reset_password, acts.OneAccount(BOSS)).link
    assert who.ask("GET", "learners", Cookie=cookie).status == 200
    signing_in.choose_password(api.world.runtime, link.rpartition("/")[2], "another horse battery", None)
    assert who.ask("GET", "learners", Cookie=cookie).status == 401
    again = signing_in.sign_in(api.world.runtime, SignIn(BOSS, "another horse battery"), None).cookie
    assert who.ask("GET", "learners", Cookie=f"rollcall={again}").status == 200
    perform(api.world.runtime, ROOT, acts.disable_account, acts.OneAccount(BOSS))
    assert who.ask("GET", "learners", Cookie=f"rollcall={again}").status == 401


def test_a_token_counts_and_not_the_cookie_beside_it(api: Served) -> None:
    who, cookie, key = signed_in(api, Role.OPERATOR)
    reader = api.client(Role.READER)

    assert reader.ask("GET", "/accounts", Cookie=cookie).status == 403
    assert reader.post("learners/A/activate", Cookie=cookie, X_CSRF_Token=key).status == 403
    assert who.ask("GET", "/accounts", Cookie=cookie, Authorization="Bearer rck_x").status == 401
    assert who.ask("GET", "/accounts", Cookie=cookie, Authorization="Basic eDp4").status == 401


def test_an_address_that_tries_cookies_has_to_wait(api: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "time", SimpleNamespace(monotonic=lambda: 1.0))  # nothing comes back meanwhile
    who = api.client(None)
    statuses = [who.ask("GET", "learners", Cookie=f"rollcall={n}").status for n in range(STRANGERS_AT_ONCE + 20)]

    assert {*statuses} == {401, 429}


def test_what_is_used_by_the_api_is_used(api: Served) -> None:
    who, cookie, _ = signed_in(api)
    api.world.execute("UPDATE sessions SET used_at = used_at - interval '2 minutes'")
    who.ask("GET", "learners", Cookie=cookie)
    with transaction(api.world.runtime.engine) as connection:
        (used,) = accounts.sessions_after(connection, None, 2, idle_seconds=43_200)
    assert used.used_at > used.began_at
