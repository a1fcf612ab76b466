"""R34: what people choose, and the codes of their apps, without a server."""

import base64
from urllib.parse import parse_qs, urlsplit

import pytest

from tasks.accounts import passwords
from tasks.accounts.emails import as_email
from tasks.accounts.passwords import fault_of, hash_password, is_outdated, is_password
from tasks.accounts.throttle import Tries
from tasks.accounts.totp import SecondFactors, code_at, step_of

GOOD = "correct horse battery"

#: RFC 6238, appendix B: seconds, and the codes of SHA-1, SHA-256 and SHA-512, whose secrets are of as many bytes.
VECTORS = [
    (59, "94287082", "46119246", "90693936"),
    (1111111109, "07081804", "68084774", "25091201"),
    (1111111111, "14050471", "67062674", "99943326"),
    (1234567890, "89005924", "91819424", "93441116"),
    (2000000000, "69279037", "90698825", "38618901"),
    (20000000000, "65353130", "77737706", "47863826"),
]


@pytest.mark.parametrize(("seconds", "sha1", "sha256", "sha512"), VECTORS)
def test_codes_are_those_of_rfc_6238(seconds: int, sha1: str, sha256: str, sha512: str) -> None:
    step, digits = seconds // 30, b"1234567890"

    assert code_at(digits * 2, step, 8) == sha1
    assert code_at((digits * 4)[:32], step, 8, "sha256") == sha256
    assert code_at((digits * 7)[:64], step, 8, "sha512") == sha512


def test_a_code_is_taken_once_and_while_it_is_shown() -> None:
    secret, now = b"1234567890" * 2, 3000.0
    code = code_at(secret, 100)

    assert [step_of(secret, code, now + seconds, None) for seconds in (-31, -30, 0, 59, 60)] == [
        None,
        100,
        100,
        100,
        None,
    ]
    assert step_of(secret, code[:3] + " " + code[3:], now, 99) == 100
    assert step_of(secret, code, now, 100) is None
    assert step_of(secret, "٣٤٥٦٧٨", now, None) is None


def test_an_app_makes_the_codes_that_are_taken_and_another_key_takes_none() -> None:
    uri, kept = SecondFactors("old key of this test").make("boss@acme.example")
    said = urlsplit(uri)
    secret = base64.b32decode(parse_qs(said.query)["secret"][0])
    code = code_at(secret, 100)

    assert (said.scheme, said.netloc, said.path) == ("otpauth", "totp", "/Rollcall%3Aboss%40acme.example")
    assert base64.b32encode(secret).decode() not in kept
    assert SecondFactors("new key of this test,old key of this test").step_of(kept, code, 3000, None) == 100
    assert SecondFactors("new key of this test").step_of(kept, code, 3000, None) is None


def test_a_password_is_kept_as_argon2id_and_known_again_however_it_is_typed() -> None:
    kept = hash_password("pässword of many words")

    assert kept.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert is_password(kept, "pa\u0308ssword of many words")
    assert not is_password(kept, "passwort of many words")
    assert not is_password("no hash at all", GOOD)
    assert (is_outdated(kept), is_outdated(kept.replace("t=3", "t=2"))) == (False, True)


def test_it_takes_as_much_to_refuse_where_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []
    monkeypatch.setattr(passwords, "hash_password", hashed.append)

    assert not is_password(None, GOOD)
    assert not is_password(None, "x" * (passwords.MOST + 1))

    assert hashed == [GOOD]


@pytest.mark.parametrize(
    "password", ["", "short", "x" * 20, "abababababababab", "boss@acme.example1", "x" * 257, "b" + "o" * 30]
)
def test_a_weak_password_is_refused_with_a_reason(password: str) -> None:
    assert fault_of(password, "boss@acme.example")


def test_a_password_that_will_do_is_taken() -> None:
    assert fault_of(GOOD, "boss@acme.example") is None


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        (" Boss@Acme.Example ", "boss@acme.example"),
        ("İ@x.example", "İ@x.example"),
        ("root@localhost", "root@localhost"),
        ("boss", None),
        ("a@b@c", None),
        ("a b@c", None),
        ("a\0@c", None),
        ("@c", None),
        ("a@" + "c" * 260, None),
    ],
)
def test_an_address_is_kept_in_one_form(typed: str, kept: str | None) -> None:
    assert as_email(typed) == kept


def test_tries_are_counted_by_account_and_by_network_and_tell_neither() -> None:
    def of(email: str, address: str) -> Tries:
        return Tries.of("a key", email, address)

    assert of("a@x", "192.0.2.1").address == of("b@x", "::ffff:192.0.2.1").address
    assert of("a@x", "2001:db8::1").address == of("a@x", "2001:db8::ffff:1").address
    assert of("a@x", "2001:db8::1").address != of("a@x", "2001:db8:0:1::1").address
    assert of("a@x", "").account != Tries.of("another key", "a@x", "").account
    assert len({of("a@x", "a@x").account, of("a@x", "a@x").address}) == 2
