"""Tokens: who can make one, and what can be learnt from one."""

from base64 import urlsafe_b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.mail.composing.links import Links

BASE = "https://rollcall.example.org"
NUMBERS = st.integers(1, 2**31 - 1)


def token(links: Links, organisation: int = 3, learner: int = 42) -> str:
    return links.token(organisation, learner)


@given(organisation=NUMBERS, learner=NUMBERS)
def test_a_link_leads_back_to_whom_it_was_made_for(organisation: int, learner: int) -> None:
    links = Links(BASE, ["key"])

    assert links.read(token(links, organisation, learner)) == (organisation, learner)


def test_a_link_is_short_and_needs_no_escaping() -> None:
    assert len(token(Links(BASE, ["key"]))) == 36
    assert Links(f"{BASE}/", ["key"]).base == Links(BASE, ["key"]).base == "https://rollcall.example.org/unsubscribe/"


def test_whatever_is_altered_in_a_token_it_is_none_any_more() -> None:
    links = Links(BASE, ["key"])
    ours = token(links)
    characters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    altered = [ours[:place] + other + ours[place + 1 :] for place in range(len(ours)) for other in characters]

    assert {links.read(one) for one in altered if one != ours} == {None}


@pytest.mark.parametrize("more", ["\n", "=", "====", "A", "AAAA", "!", "\0", "/"])
def test_nothing_is_added_to_a_token(more: str) -> None:
    links = Links(BASE, ["key"])

    assert links.read(token(links) + more) is None
    assert links.read(more + token(links)) is None


@pytest.mark.parametrize("text", ["", "x", "=" * 36, "é" * 36, "A" * 36, "A" * 10_000, "../" * 12, "A" * 35 + "\n"])
def test_what_is_no_token_is_none(text: str) -> None:
    assert Links(BASE, ["key"]).read(text) is None


def test_a_token_of_another_key_is_none_and_of_an_older_one_still_is_one() -> None:
    old, new, both = Links(BASE, ["old"]), Links(BASE, ["new"]), Links(BASE, ["new", "old"])

    assert both.read(token(old)) == (3, 42)
    assert token(both) == token(new)
    assert new.read(token(old)) is None


def test_a_token_says_nothing_but_two_numbers() -> None:
    octets = urlsafe_b64decode(token(Links(BASE, ["key"])))

    assert octets[:9] == bytes([1, 0, 0, 0, 3, 0, 0, 0, 42])


def test_links_need_a_key() -> None:
    with pytest.raises(ValueError, match="signed with a key"):
        Links(BASE, [])
