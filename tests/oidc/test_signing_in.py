"""R34: people sign in through a real OpenID provider; what attackers send in their place lets nobody in."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest

from config.errors import Conflict
from tasks.accounts import Role
from tasks.acts import accounts as acts
from tasks.acts.acting import perform
from tasks.acts.paging import PageAsked
from tests.accounts.test_signing_in import BOSS, GOOD, ROOT, Browser, has_account
from tests.oidc.conftest import Pages
from tests.oidc.provider import changed, ec_key


def says(browser: Browser) -> str:
    """What a page that refuses says."""
    found = re.search(r'role="alert">([^<]+)<', browser.text)
    return found[1] if found else ""


def is_let_in(browser: Browser) -> bool:
    return "rollcall" in browser.cookies


def test_r34_somebody_signs_in_with_the_role_of_their_group_and_out_again(pages: Pages) -> None:
    pages.provider.knows("ann", groups=["acme-admins", "borealis-staff", "canteen"])
    one = pages.sign_in("ann")

    assert (one.status, one.headers["location"]) == (303, "../../sign-in")
    assert "rollcall-openid" not in one.cookies
    assert "You are ann@acme.example, with the role admin of acme." in one.open("/sign-in").text
    one.send("/sign-out")
    assert (one.status, one.headers["location"]) == (303, "sign-in/openid/out")
    out = one.open("/sign-in/openid/out").text
    assert f'href="{pages.provider.issuer}/session/end?client_id=rollcall&amp;post_logout_redirect_uri=' in out
    assert not one.is_in()
    written = "SELECT who, door, address, act, before, after FROM audit WHERE act LIKE '%s.%' ORDER BY at"
    role, ann = {"role": "admin", "organisations": ["acme"]}, ("ann@acme.example", "console", "127.0.0.1")
    assert pages.world.rows(written) == [
        (*ann, "accounts.provided", None, role),
        (*ann, "sessions.begin", None, None),
        (*ann, "sessions.end", None, None),
    ]


def test_r34_groups_decide_anew_at_each_sign_in_and_without_one_the_sessions_end(pages: Pages) -> None:
    pages.provider.knows("ann", groups=["ops"])
    first = pages.sign_in("ann")
    assert "with the role operator of all organisations" in first.open("/sign-in").text
    pages.provider.knows("ann", groups=["acme-staff", "borealis-staff"])
    second = pages.sign_in("ann")
    for browser in (first, second):
        assert "with the role reader of acme, borealis." in browser.open("/sign-in").text
    without: list[dict[str, object]] = [
        {"groups": ["canteen"]},
        {"groups": []},
        {},
        {"groups": {"ops": True}},
        {"groups": None},
    ]
    for said in without:
        pages.provider.knows("ann", **said)
        third = pages.sign_in("ann")
        assert (third.status, is_let_in(third)) == (403, False)
        assert "ask an operator" in says(third)
    assert not first.is_in()
    assert not second.is_in()
    (ended,) = pages.world.list("SELECT before FROM audit WHERE act = 'sessions.end'")
    assert ended == {"sessions": 2}


def test_an_address_that_is_not_verified_is_nobodys(pages: Pages) -> None:
    for said in ({"email_verified": False}, {"email_verified": None}, {"email": None}, {"email": "no address"}):
        pages.provider.knows("ann", groups=["ops"], **said)
        one = pages.sign_in("ann")
        assert (one.status, is_let_in(one)) == (403, False)
        assert "names no e-mail address of yours" in says(one)
    assert pages.world.ask("SELECT count(*) FROM accounts") == 0


def test_an_account_with_a_password_becomes_the_providers_and_the_password_lets_nobody_in(pages: Pages) -> None:
    has_account(pages.world, role=Role.OPERATOR)
    before = pages.browser().sign_in()
    assert before.is_in()
    pages.provider.knows("boss", groups=["acme-staff"])
    assert is_let_in(pages.sign_in("boss"))

    assert not before.is_in()
    assert pages.browser().sign_in(BOSS, GOOD).status == 403
    with pytest.raises(Conflict, match="signs in through http"):
        perform(pages.runtime, ROOT, acts.reset_password, acts.OneAccount(BOSS))
    with pytest.raises(Conflict, match="signs in through http"):
        perform(pages.runtime, ROOT, acts.set_totp, acts.SecondFactorWish(BOSS))
    (found,) = perform(pages.runtime, ROOT, acts.list_accounts, PageAsked()).items
    assert (found.role, found.has_password, found.provider) == ("reader", False, pages.provider.issuer)


def test_an_account_is_of_whom_the_provider_knows_and_not_of_who_has_their_address_now(pages: Pages) -> None:
    pages.provider.knows("ann", groups=["ops"])
    pages.provider.knows("bob", groups=["acme-staff"], email="bob@acme.example")
    assert is_let_in(pages.sign_in("ann"))
    pages.provider.knows("eve", groups=["acme-staff"], email="ann@acme.example")
    taken = pages.sign_in("eve")
    assert (taken.status, is_let_in(taken)) == (403, False)
    pages.provider.knows("ann", groups=["ops"], email="Ann.New@acme.example")
    assert "You are ann.new@acme.example" in pages.sign_in("ann").open("/sign-in").text
    assert "You are ann@acme.example, with the role reader" in pages.sign_in("eve").open("/sign-in").text
    assert pages.world.ask("SELECT count(*) FROM accounts") == 2


def test_a_disabled_account_stays_out_and_one_made_anew_is_nobodys_of_before(pages: Pages) -> None:
    pages.provider.knows("ann", groups=["ops"])
    one = pages.sign_in("ann")
    perform(pages.runtime, ROOT, acts.disable_account, acts.OneAccount("ann@acme.example"))
    assert not one.is_in()
    refused = pages.sign_in("ann")
    assert (refused.status, is_let_in(refused), "disabled" in says(refused)) == (403, False, True)
    perform(pages.runtime, ROOT, acts.add_account, acts.NewAccount("ann@acme.example", Role.READER, ["acme"]))
    assert pages.world.list("SELECT subject FROM accounts") == [None]
    assert is_let_in(pages.sign_in("ann"))


def test_a_session_through_the_provider_is_begun_anew_after_the_idle_time_however_busy(pages: Pages) -> None:
    pages.provider.knows("ann", groups=["ops"])
    one = pages.sign_in("ann")
    pages.world.execute("UPDATE sessions SET began_at = began_at - interval '12 hours' + interval '1 minute'")
    assert one.is_in()
    pages.world.execute("UPDATE sessions SET began_at = began_at - interval '2 minutes'")
    assert not one.is_in()


def test_what_comes_back_in_another_browser_or_with_another_state_lets_nobody_in(pages: Pages) -> None:
    pages.provider.knows("eve", groups=["ops"])
    eves = pages.browser()
    back = pages.provider.let_in(pages.begun(eves), "eve")
    victim, fresh = pages.browser(), pages.browser()
    theirs = parse_qs(urlsplit(pages.begun(victim)).query)["state"][0]

    for browser, path in (
        (fresh, back),  # login CSRF: a link to the attacker's own sign-in
        (victim, back),
        (victim, changed(back, state=None)),
        (victim, changed(back, state="")),
        (victim, changed(back, state="é")),
        (victim, f"{changed(back, state=theirs)}&state={theirs}"),
    ):
        browser.open(path)
        assert (browser.status, is_let_in(browser)) == (403, False), path
        assert "begun in another browser" in says(browser)
        victim.cookies.setdefault("rollcall-openid", "x.1")
    stale = pages.browser()
    path = pages.provider.let_in(pages.begun(stale), "eve")
    secret, _, began = stale.cookies["rollcall-openid"].partition(".")
    for cookie in (f"{secret}.{int(began) - 601}", f"{secret}.{int(began) + 1}", secret, f"{secret}.x", f"{secret}.²"):
        stale.cookies["rollcall-openid"] = cookie
        assert (stale.open(path).status, is_let_in(stale)) == (403, False)
    assert is_let_in(eves.open(back))


def test_a_code_with_the_state_of_another_browser_does_not_fit_its_verifier_and_nonce(pages: Pages) -> None:
    pages.provider.knows("eve", groups=["ops"])
    victim = pages.browser()
    state = parse_qs(urlsplit(pages.begun(victim)).query)["state"][0]
    stolen = parse_qs(urlsplit(pages.provider.let_in(pages.begun(pages.browser()), "eve")).query)["code"][0]
    victim.open(f"/sign-in/openid/back?state={state}&code={stolen}&iss={pages.provider.issuer}")

    assert (victim.status, is_let_in(victim)) == (403, False)
    assert "cannot be trusted" in says(victim)


def test_a_code_that_was_used_or_was_given_to_another_client_is_worth_nothing(pages: Pages) -> None:
    pages.provider.knows("ann", groups=["ops"])
    one = pages.browser()
    back = pages.provider.let_in(pages.begun(one), "ann")
    cookie = one.cookies["rollcall-openid"]
    assert is_let_in(one.open(back))
    again = pages.browser()
    again.cookies["rollcall-openid"] = cookie
    again.open(back)
    assert (again.status, is_let_in(again), "cannot be trusted" in says(again)) == (403, False, True)
    other = pages.browser()
    other.open(pages.provider.let_in(changed(pages.begun(other), client_id="another"), "ann"))
    assert (other.status, is_let_in(other), "cannot be trusted" in says(other)) == (403, False, True)


@pytest.mark.parametrize("nonce", ["another", None])
def test_an_id_token_of_another_sign_in_or_of_none_is_refused(pages: Pages, nonce: str | None) -> None:
    pages.provider.knows("ann", groups=["ops"])
    one = pages.browser()
    one.open(pages.provider.let_in(changed(pages.begun(one), nonce=nonce), "ann"))

    assert (one.status, is_let_in(one), "cannot be trusted" in says(one)) == (403, False, True)


@pytest.mark.parametrize("issuer", ["https://evil.example", None, ""])
def test_r34_a_browser_that_another_provider_sent_back_is_not_let_in(pages: Pages, issuer: str | None) -> None:
    pages.provider.knows("ann", groups=["ops"])
    one = pages.browser()
    back = pages.provider.let_in(pages.begun(one), "ann")
    cookie = one.cookies["rollcall-openid"]
    one.open(changed(back, iss=issuer))

    assert (one.status, is_let_in(one)) == (403, False)
    one.cookies["rollcall-openid"] = cookie
    assert is_let_in(one.open(back)), "the code was sent nowhere meanwhile"


def test_keys_that_the_provider_changed_are_read_anew(pages: Pages) -> None:
    pages.provider.knows("ann", groups=["ops"])
    assert is_let_in(pages.sign_in("ann"))
    pages.provider.stop()
    pages.provider.keys[:1] = [ec_key("second")]
    pages.provider.start()

    assert is_let_in(pages.sign_in("ann"))


def test_a_provider_that_is_away_or_refuses_is_told_in_a_line(pages: Pages) -> None:
    one = pages.browser()
    state = parse_qs(urlsplit(pages.begun(one)).query)["state"][0]
    cookie = one.cookies["rollcall-openid"]
    one.open(
        f"/sign-in/openid/back?state={state}&iss={pages.provider.issuer}&error=access_denied&error_description=<b>"
    )
    assert (one.status, "<b>" in one.text) == (403, False)
    assert "did not let you in" in says(one)
    pages.provider.stop()
    one.cookies["rollcall-openid"] = cookie
    one.open(f"/sign-in/openid/back?state={state}&iss={pages.provider.issuer}&code=x")
    pages.provider.start()
    assert (one.status, one.headers["retry-after"], is_let_in(one)) == (503, "60", False)
    assert "cannot be asked who you are" in says(one)


def test_nobody_is_sent_where_an_address_says_and_another_site_begins_nothing(pages: Pages) -> None:
    one = pages.browser()
    for query in ("?next=https://evil.example", "?redirect_uri=https://evil.example", "?iss=https://evil.example"):
        one.open(f"/sign-in/openid{query}", Host="evil.example", X_Forwarded_Host="evil.example")
        said = parse_qs(urlsplit(one.headers["location"]).query)
        assert one.headers["location"].startswith(f"{pages.provider.issuer}/auth?")
        assert "evil" not in one.headers["location"]
        assert said["redirect_uri"] == [pages.provider.back]
        assert (said["code_challenge_method"], said["response_type"]) == (["S256"], ["code"])
    one.cookies.clear()
    for site in ("cross-site", "same-site"):
        one.open("/sign-in/openid", Sec_Fetch_Site=site)
        assert (one.status, one.headers["location"], one.cookies) == (303, "../sign-in", {})
    assert one.open("/sign-in/openid", method="HEAD").status == 404
    link = re.search(r'href="(sign-in/openid)">Sign in through 127.0.0.1:\d+<', one.open("/sign-in").text)
    assert link
