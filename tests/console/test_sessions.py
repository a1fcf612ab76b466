"""R34: where somebody is signed in, and how it is ended; accounts and tokens, for operators."""

import re

import pytest

from tasks.accounts import Role
from tests.console.conftest import Consoled
from workers.web.api import doors

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@pytest.fixture(autouse=True)
def _acme(console: Consoled) -> None:
    console.world.has_organisation()


def test_somebody_sees_their_sessions_and_ends_one_or_all_others(console: Consoled) -> None:
    here, there, third = (console.visitor() for _ in range(3))
    console.visitor(Role.READER)
    here.open("sessions")
    assert here.text.count('name="session"') == 2, "none of others, and not the own"
    assert here.says.count("this one") == 1
    ids = re.findall(r'name="session" value="(\w+)"', here.text)
    here.send("sessions", ("session", ids[0]))
    assert "You are signed out there." in here.says
    ended = [one.open("preferences").at for one in (there, third)]
    assert sorted(ended) == ["/console/preferences"] * 2
    assert sorted(one.status for one in (there, third)) == [200, 303]
    here.open("sessions").send("sessions")
    assert "1 other session was ended." in here.says
    assert {one.open("preferences").status for one in (there, third)} == {303}
    assert here.open("preferences").status == 200
    assert console.world.ask("SELECT count(*) FROM sessions") == 2, "the other person's is left"


def test_nobody_ends_another_persons_session(console: Consoled) -> None:
    mine, theirs = console.visitor(), console.visitor(Role.READER)
    mine.open("sessions")
    (number,) = console.world.list(
        "SELECT left(encode(hash, 'hex'), 16) FROM sessions JOIN accounts USING (account) WHERE role = 'reader'"
    )
    refused = mine.open("sessions", [("key", key(mine.text)), ("session", number)], Sec_Fetch_Site="same-origin")
    assert refused.status == 404
    assert theirs.open("preferences").status == 200


def key(text: str) -> str:
    return text.split('name="key" value="')[1].split('"', maxsplit=1)[0]


def test_a_session_keeps_the_family_of_its_browser_and_nothing_else_of_it(console: Consoled) -> None:
    nobody = console.visitor(None)
    link = console.link()
    nobody.open(link, User_Agent=FIREFOX)
    assert "Firefox" in nobody.open("sessions").says
    kept = console.world.list("SELECT browser FROM sessions")
    assert kept == ["Firefox"]


def test_an_operator_ends_sessions_and_tokens_of_a_person(console: Consoled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "REMEMBERED_SECONDS", 0.0)  # or a token that was revoked lets in for a second
    boss, other, admin = console.visitor(Role.OPERATOR), console.visitor(Role.OPERATOR), console.visitor()
    made = boss.open("system/tokens").send(
        "system/tokens", ("name", "billing"), ("role", "reader"), ("organisations", "acme"), ("expires", "2099-12-31")
    )
    assert made.status == 200
    secret = made.text.split('class="secret">')[1].split("<")[0]
    assert secret not in boss.open("system/tokens").text, "shown once"
    assert "billing" in boss.says
    assert made.open("/api/v1/organisations", Authorization=f"Bearer {secret}", Cookie="").status == 200

    boss.open("system/accounts")
    boss.open(
        "system/accounts", [("key", key(boss.text)), ("email", "admin-acme@acme.example"), ("wanted", "sessions")],
        Sec_Fetch_Site="same-origin",
    )  # fmt: skip
    assert "1 session was ended." in boss.says
    assert admin.open("preferences").status == 303
    boss.open(
        "system/accounts", [("key", key(boss.text)), ("email", "operator-@acme.example"), ("wanted", "tokens")],
        Sec_Fetch_Site="same-origin",
    )  # fmt: skip
    assert "1 token was revoked." in boss.says
    assert other.open("/api/v1/organisations", Authorization=f"Bearer {secret}").status == 401


def test_a_token_is_revoked_by_its_name(console: Consoled) -> None:
    boss = console.visitor(Role.OPERATOR).open("system/tokens")
    boss.send("system/tokens", ("name", "a.b"), ("role", "operator"))
    boss.open("system/tokens").send("system/tokens/a.b/revoke")
    assert "a.b is void." in boss.says
    assert "revoked" in boss.says
    for said in ({"name": "x", "role": "king"}, {"name": "x", "role": "operator", "expires": "soon"}):
        assert boss.open("system/tokens").send("system/tokens", *said.items()).status == 422
