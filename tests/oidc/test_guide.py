"""What the documents say of signing in through a provider, and of the audit log, is so."""

import re
from pathlib import Path

import pytest

from config.openid import GroupRole, group_roles
from config.settings import Settings
from tasks.accounts import id_tokens, openid, sessions
from tasks.audit import store
from workers.web.api.doors import CSRF_HEADER
from workers.web.single_sign_on import BACK_PATH

DOCS = Path(__file__).parents[2] / "docs"


def said(page: str) -> str:
    return " ".join((DOCS / page).read_text(encoding="utf-8").split())


def test_the_settings_in_the_guide_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = re.findall(r"```\n(PUBLIC_URL=.*?)```", (DOCS / "guides/accounts.md").read_text(encoding="utf-8"), re.S)
    for line in block.splitlines():
        name, _, value = line.partition("=")
        monkeypatch.setenv(name, value)

    assert group_roles(Settings().rollcall_oidc_groups or "") == [
        GroupRole("rollcall-operators", "operator"),
        GroupRole("acme-admins", "admin", ("acme", "acme-labs")),
        GroupRole("rollcall-*-staff", "reader"),
    ]
    monkeypatch.delenv("ROLLCALL_OIDC_GROUPS")
    with pytest.raises(ValueError, match="ROLLCALL_OIDC_GROUPS must be set when"):
        Settings()


@pytest.mark.parametrize(
    "issuer",
    ["http://login.example", "https://", "ftp://x", "https://a@x", "https://x?y", "https://x#y", "https://x y"],
)
def test_an_issuer_that_cannot_be_one_is_refused(issuer: str) -> None:
    with pytest.raises(ValueError, match=r"must be a URL|must begin with https"):
        Settings(rollcall_oidc_issuer=issuer)


def test_the_scopes_have_openid_among_them() -> None:
    with pytest.raises(ValueError, match="must have openid"):
        Settings(rollcall_oidc_scopes="email")


def test_the_bounds_are_those_of_the_code() -> None:
    guide, security = said("guides/accounts.md"), said("security.md")
    settings = Settings()

    assert f"`PUBLIC_URL{BACK_PATH}`" in guide
    assert f"{store.MOST_REFUSED} in a minute are written" in guide
    assert (settings.rollcall_keep_audit_days, store.TOGETHER_SECONDS) == (2 * 365, 60)
    assert f"good for {openid.BEGUN_SECONDS // 60} minutes" in security
    assert f"read anew every {openid.KNOWN_SECONDS / 60:g} minutes" in security
    assert f"({id_tokens.SKEW_SECONDS} seconds of skew)" in security
    assert f"After {store.MOST_REFUSED} of one caller" in security
    assert f"in `{CSRF_HEADER}`" in security
    assert f"for {settings.rollcall_session_seconds / 3600:g} hours, and after {sessions.LONGEST_DAYS} days" in security


def test_every_test_that_the_page_on_security_names_is_there() -> None:
    named = set(re.findall(r"`(test_\w+)`", said("security.md")))
    tests = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parents[1].rglob("test_*.py"))

    assert len(named) >= 10
    assert [name for name in named if f"def {name}(" not in tests] == []
