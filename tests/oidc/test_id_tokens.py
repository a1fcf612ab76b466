"""Which ID tokens are believed, and what a group gives, without a server."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.openid import GroupRole, group_roles
from tasks.accounts.groups import RoleGrant, grant_of
from tasks.accounts.id_tokens import KeyUnknown, TokenRefused, claims_of
from tasks.accounts.provided import person_of
from tasks.accounts.rules import Role
from tests.oidc.provider import ec_key, rsa_key

ISSUER, CLIENT, NONCE = "https://login.example", "rollcall", "a nonce"

KEY, RSA, OTHER = ec_key("one"), rsa_key("two"), ec_key("one")


def public(*keys: dict[str, Any]) -> list[dict[str, Any]]:
    """What a provider publishes of its keys."""
    private = {"d", "p", "q", "dp", "dq", "qi"}
    return [{name: value for name, value in key.items() if name not in private} for key in keys]


PUBLISHED = public(KEY, RSA)


def claims(**changed: object) -> dict[str, Any]:
    """What a token says; None: it does not."""
    said = {"iss": ISSUER, "aud": CLIENT, "sub": "ann", "exp": time.time() + 60, "iat": time.time(), "nonce": NONCE}
    return {name: value for name, value in {**said, **changed}.items() if value is not None}


def signed(said: dict[str, Any], key: dict[str, Any] = KEY, **header: Any) -> str:
    """A token of the provider's."""
    return jwt.encode(said, jwt.PyJWK(key).key, header.pop("alg", key["alg"]), {"kid": key["kid"], **header})


def believed(token: str, keys: list[dict[str, Any]] = PUBLISHED) -> dict[str, Any]:
    return claims_of(token, keys, issuer=ISSUER, client_id=CLIENT, nonce=NONCE)


def by_hand(header: dict[str, Any], said: dict[str, Any], signature: bytes = b"") -> str:
    """A token that no library would make."""
    parts = [json.dumps(header).encode(), json.dumps(said).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


@pytest.mark.parametrize(
    "token",
    [
        lambda: signed(claims()),
        lambda: signed(claims(), RSA),
        lambda: signed(claims(aud=[CLIENT])),
        lambda: signed(claims(aud=[CLIENT, "else"], azp=CLIENT)),
        lambda: signed(claims(exp=time.time() - 30)),
        lambda: jwt.encode(claims(), jwt.PyJWK(KEY).key, "ES256"),
    ],
)
def test_a_token_of_the_provider_for_us_is_believed(token: Callable[[], str]) -> None:
    assert believed(token())["sub"] == "ann"


@pytest.mark.parametrize(
    "token",
    [
        lambda: signed(claims(iss="https://evil.example")),
        lambda: signed(claims(iss=f"{ISSUER}/")),
        lambda: signed(claims(iss=None)),
        lambda: signed(claims(aud="another")),
        lambda: signed(claims(aud=["another"])),
        lambda: signed(claims(aud=None)),
        lambda: signed(claims(aud=[CLIENT, "another"])),
        lambda: signed(claims(azp="another")),
        lambda: signed(claims(exp=time.time() - 90)),
        lambda: signed(claims(exp=None)),
        lambda: signed(claims(iat=None)),
        lambda: signed(claims(iat=time.time() + 90)),
        lambda: signed(claims(nbf=time.time() + 90)),
        lambda: signed(claims(nonce="another")),
        lambda: signed(claims(nonce=None)),
        lambda: signed(claims(nonce=[NONCE])),
        lambda: signed(claims(sub=None)),
        lambda: signed(claims(sub="")),
        lambda: signed(claims(sub="x" * 256)),
        lambda: signed(claims(), OTHER),
        lambda: signed(claims(), KEY, kid="unknown"),
        lambda: signed(claims(), KEY, crit=["x"], x=1),
        lambda: signed(claims())[:-4] + "AAAA",
        lambda: by_hand({"alg": "none"}, claims()),
        lambda: by_hand({"alg": "None", "kid": "one"}, claims()),
        lambda: by_hand({"kid": "one"}, claims()),
        lambda: by_hand({"alg": ["ES256"], "kid": "one"}, claims()),
        lambda: jwt.encode(claims(), "the client's secret, which we know as well", "HS256", {"kid": "one"}),
        lambda: "",
        lambda: "x.y.z",
        lambda: "é.é.é",
    ],
)
def test_a_token_that_is_not_the_providers_for_us_or_of_now_is_not(token: Callable[[], str]) -> None:
    with pytest.raises(TokenRefused):
        believed(token())


def test_a_public_key_is_no_shared_secret() -> None:
    shared = PUBLISHED[1]["n"]
    token = jwt.encode(claims(), shared, "HS256", {"kid": "two"})
    key = {"kty": "oct", "kid": "two", "k": base64.urlsafe_b64encode(shared.encode()).decode()}
    with pytest.raises(TokenRefused, match="not signed in a way"):
        believed(token, [*PUBLISHED, key])


def test_a_key_for_another_use_or_algorithm_or_that_is_none_verifies_nothing() -> None:
    for change in ({"use": "enc"}, {"alg": "ES512"}, {"kty": "RSA"}, {"x": "no number"}, {"x": 5}, {"crv": ["P-1"]}):
        with pytest.raises(KeyUnknown):
            believed(signed(claims()), [{**PUBLISHED[0], **change}])
    assert believed(signed(claims()), [{"kty": "EC", "kid": "one"}, *PUBLISHED])


def test_what_is_refused_quotes_nothing_of_the_token() -> None:
    with pytest.raises(TokenRefused) as problem:
        believed(signed(claims(iss="canary", sub="canary", aud="canary")))
    assert "canary" not in str(problem.value)


SAID = group_roles("CN=ops,OU=it=operator; acme-admins=admin:acme, borealis ;*-staff=reader; team *=admin")


@pytest.mark.parametrize(
    ("groups", "grant"),
    [
        ((), None),
        (("canteen", "OPS", "acme-admins "), None),
        (("CN=ops,OU=it",), RoleGrant(Role.OPERATOR)),
        (("acme-admins",), RoleGrant(Role.ADMIN, frozenset({"acme", "borealis"}))),
        (("acme-staff", "x y-staff"), RoleGrant(Role.READER, frozenset({"acme", "x y"}))),
        (("-staff", "team "), None),
        (("team acme", "borealis-staff"), RoleGrant(Role.ADMIN, frozenset({"acme"}))),
        (("acme-admins", "CN=ops,OU=it", "z-staff"), RoleGrant(Role.OPERATOR)),
    ],
)
def test_r34_the_highest_role_of_the_groups_counts_for_its_organisations_alone(
    groups: tuple[str, ...], grant: RoleGrant | None
) -> None:
    assert grant_of(SAID, groups) == grant


@given(st.sets(st.sampled_from(["CN=ops,OU=it", "acme-admins", "a-staff", "b-staff", "team c", "else"])))
def test_r34_another_group_takes_no_role_away(groups: set[str]) -> None:
    roles = [*Role]
    for one in groups:
        less, all_of_them = grant_of(SAID, groups - {one}), grant_of(SAID, groups)
        if less is not None:
            assert all_of_them is not None
            assert roles.index(all_of_them.role) >= roles.index(less.role)


@pytest.mark.parametrize(
    "text",
    ["", ";", "ops", "=admin:x", "x=root", "x=admin", "x=operator:y", "*=operator", "*-*=admin", "*=admin:x"],
)
def test_a_map_of_groups_that_cannot_be_meant_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"entry|names no group"):
        group_roles(text)


def test_a_map_of_groups_is_read() -> None:
    assert group_roles("a b = admin : x , y;") == [GroupRole("a b", "admin", ("x", "y"))]


@pytest.mark.parametrize(
    ("said", "trusted", "verified"),
    [
        ({"email_verified": True}, False, True),
        ({"email_verified": "true"}, False, True),
        ({"email_verified": "false"}, True, False),
        ({"email_verified": False}, True, False),
        ({"email_verified": 1}, False, False),
        ({}, False, False),
        ({}, True, True),
    ],
)
def test_an_address_is_somebodys_if_the_provider_says_so_or_is_trusted(
    said: dict[str, object], trusted: bool, verified: bool
) -> None:
    person = person_of(
        ISSUER, {"sub": "ann", "email": "Ann@Acme.example", **said}, groups_claim="groups", trusted=trusted
    )

    assert (person.email, person.verified) == ("ann@acme.example", verified)


@pytest.mark.parametrize(
    ("said", "groups"),
    [(["a", 1, None], {"a"}), ("a", {"a"}), (None, set()), ({"a": 1}, set()), ([["a"]], set())],
)
def test_groups_are_a_list_of_names_or_one(said: object, groups: set[str]) -> None:
    person = person_of(ISSUER, {"sub": "ann", "roles": said}, groups_claim="roles", trusted=True)

    assert person.groups == groups
