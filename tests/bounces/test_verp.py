"""Envelope senders: each names one delivery, and only we can make one."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.mail import LONGEST_TOKEN, ReturnPaths, Token, fingerprint

RETURNS = ReturnPaths("bounces@bounces.example.org", "a key")
ADDRESS = "jan@school.example"

numbers = st.integers(1, 2**31 - 1)
deliveries = st.tuples(numbers, st.integers(1, 2**63 - 1), st.integers(-(2**31), 2**31 - 1))


@given(deliveries, st.emails())
def test_what_comes_back_names_the_delivery_in_any_case(delivery: tuple[int, int, int], address: str) -> None:
    sender = RETURNS.sender(*delivery, address)

    assert sender is not None
    expected = Token(*delivery, fingerprint(address))
    assert RETURNS.read(sender) == RETURNS.read(sender.upper()) == RETURNS.read(sender.title()) == expected
    assert RETURNS.sender(*delivery, address) == sender, "the same at each attempt"


def test_the_longest_sender_is_one_that_servers_take() -> None:
    longest = ReturnPaths("b" * 15 + "@example.org", "a key").sender(2**31 - 1, 2**63 - 1, -(2**31), ADDRESS)

    assert longest is not None
    local = longest.partition("@")[0]
    assert len(local) == 64
    assert len(local) == 15 + 1 + LONGEST_TOKEN
    assert set(local) <= {*string.ascii_lowercase, *string.digits, "+"}


def test_the_sender_of_an_everyday_delivery_is_short() -> None:
    sender = RETURNS.sender(7, 1234, 56789, ADDRESS)

    assert sender is not None
    assert len(sender.partition("@")[0]) < 40


def test_the_sender_of_a_delivery_of_a_month_is_short_and_json_has_its_mailing_as_it_is() -> None:
    for year in (2026, 2100):
        number = ((year - 2020) * 12 + 12 << 30) + 2**30 - 1
        sender = RETURNS.sender(7, number, 56789, ADDRESS)

        assert sender is not None
        assert len(sender.partition("@")[0]) <= 43
        assert number < 2**53


@given(st.data(), deliveries)
def test_nobody_else_makes_one(data: st.DataObject, delivery: tuple[int, int, int]) -> None:
    sender = RETURNS.sender(*delivery, ADDRESS)
    assert sender is not None
    local, _, domain = sender.rpartition("@")
    place = data.draw(st.integers(len("bounces+"), len(local) - 2))  # the last one may hold bits that nothing uses
    other = data.draw(st.sampled_from(sorted({*"0123456789abcdefghijklmnopqrstuv"} - {local[place]})))

    assert RETURNS.read(f"{local[:place]}{other}{local[place + 1 :]}@{domain}") is None
    assert ReturnPaths("bounces@bounces.example.org", "another key").read(sender) is None
    assert ReturnPaths("bounces@elsewhere.example.org", "a key").read(sender) is None


@given(st.text(max_size=80))
def test_anything_else_is_none_of_ours(local: str) -> None:
    assert RETURNS.read(f"bounces+{local}@bounces.example.org") is None
    assert RETURNS.read(local) is None


@pytest.mark.parametrize("recipient", ["bounces@bounces.example.org", "BOUNCES@Bounces.Example.ORG"])
def test_the_bounce_address_itself_is_taken(recipient: str) -> None:
    assert RETURNS.takes(recipient)
    assert RETURNS.read(recipient) is None


@pytest.mark.parametrize(
    "recipient", ["bounces+@bounces.example.org", "bounces+aaaa@bounces.example.org", "learning@example.org", "", "<>"]
)
def test_nothing_else_is_taken(recipient: str) -> None:
    assert not RETURNS.takes(recipient)


def test_without_a_bounce_address_there_is_no_sender_and_nothing_is_taken() -> None:
    none = ReturnPaths("", "a key")

    assert none.sender(1, 2, 3, ADDRESS) is None
    assert not none.takes("")
    assert not none.takes("@")


def test_an_address_with_a_name_beyond_ascii_is_told_from_others() -> None:
    assert fingerprint("Jörg@schüle.example") == fingerprint("jörg@SCHÜLE.example")
    assert fingerprint("jörg@schüle.example") != fingerprint("jurg@schüle.example")


def test_a_key_is_replaced_without_losing_what_is_on_its_way() -> None:
    before = RETURNS.sender(1, 2, 3, ADDRESS)
    both = ReturnPaths("bounces@bounces.example.org", "a new key, a key")
    after = both.sender(1, 2, 3, ADDRESS)

    assert before is not None
    assert after is not None
    assert both.read(before) == both.read(after) == Token(1, 2, 3, fingerprint(ADDRESS))
    assert RETURNS.read(after) is None
    assert ReturnPaths("bounces@bounces.example.org", "a new key").read(after) == both.read(after)
