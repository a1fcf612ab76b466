"""Signatures, checked by an implementation that is not ours; the key comes from a test's own zone, not the network."""

import re
from collections.abc import Callable

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import settings as examples
from pydantic import SecretStr

from config.settings import Settings
from config.signing import read_key
from tasks.mail.composing.dkim import Signer
from tasks.mail.composing.envelopes import compose
from tasks.mail.rules import Kind
from tests.mail.letters import mailing, recipient, sender
from tests.mail.test_message import ANYTHING, without_tokens
from tests.world import World

Key = rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey

RSA = rsa.generate_private_key(65537, 2048)
SHORT = rsa.generate_private_key(65537, 1024)  # noqa: S505 - to be refused
ED25519 = ed25519.Ed25519PrivateKey.generate()


def pem(key: Key, *, password: bytes | None = None) -> str:
    """A private key, as an operator has it."""
    encryption = NoEncryption() if password is None else BestAvailableEncryption(password)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption).decode()


SIGNERS = {
    "rsa": Signer(pem(RSA), "mail2026", "example.org"),
    "ed25519": Signer(pem(ED25519), "mail2026", "example.org"),
}
either = pytest.mark.parametrize("algorithm", SIGNERS)


def verified(message: bytes, signer: Signer) -> bool:
    """Whether a receiver who asks the signer's own DNS record finds the message as it was signed."""
    name, value = signer.record()

    def zone(asked: bytes, timeout: int = 5) -> bytes | None:
        return value.encode() if asked.decode() == f"{name}." else None

    try:
        return bool(dkim.verify(message, dnsfunc=zone))
    except dkim.DKIMException:
        return False


def signed(kind: Kind = Kind.ANNOUNCEMENT, algorithm: str = "rsa", **what: str) -> bytes:
    """A mail with its signature."""
    return compose(mailing(kind, **what), recipient(), sender(signer=SIGNERS[algorithm])).message


def tag(message: bytes, name: str) -> str:
    """What a tag of the signature says."""
    header = message.decode().partition("\r\nFrom:")[0].replace("\r\n", "")
    found = re.search(rf"[;:]\s*{name}=([^;]*)", header)
    assert found is not None, header
    return found[1].replace(" ", "")


@either
@pytest.mark.parametrize("kind", Kind)
def test_every_kind_of_mail_is_signed_and_the_signature_holds(kind: Kind, algorithm: str) -> None:
    message = signed(kind, algorithm)

    assert message.startswith(b"DKIM-Signature: v=1; a=")
    assert verified(message, SIGNERS[algorithm])
    unsigned = compose(mailing(kind), recipient(), sender()).message
    assert b"DKIM" not in unsigned
    assert message.endswith(unsigned.partition(b"Date:")[2].partition(b"\r\n")[2])


@given(subject=ANYTHING, body=ANYTHING, name=ANYTHING, first_name=ANYTHING)
@examples(max_examples=60)
def test_a_signature_holds_whatever_is_written_and_however_blanks_are_changed(
    subject: str, body: str, name: str, first_name: str
) -> None:
    what = mailing(
        Kind.ANNOUNCEMENT,
        subject=without_tokens(subject).replace("}}", "") + "{{ first_name }}",
        body=without_tokens(body).replace("}}", "") + "  {{ first_name }}  x\t y \n\n\n",
        name=name,
    )
    message = compose(what, recipient(first_name=first_name), sender(signer=SIGNERS["ed25519"])).message

    assert verified(message, SIGNERS["ed25519"])
    head, _, text = message.partition(b"\r\n\r\n")
    reflowed = head.replace(b"\r\n ", b"\r\n\t  ") + b"\r\n\r\n" + text.replace(b" ", b" \t ") + b"\r\n\r\n"
    assert verified(reflowed, SIGNERS["ed25519"])
    assert max(map(len, message.split(b"\r\n"))) <= 998


@either
def test_the_signature_covers_what_a_reader_is_shown_and_the_way_to_unsubscribe(algorithm: str) -> None:
    message = signed(algorithm=algorithm)

    covered = tag(message, "h").split(":")
    assert covered.count("from") == covered.count("to") == covered.count("subject") == covered.count("date") == 2
    assert {
        "message-id",
        "mime-version",
        "content-type",
        "feedback-id",
        "list-unsubscribe",
        "list-unsubscribe-post",
    } < {*covered}
    assert (tag(message, "c"), tag(message, "d"), tag(message, "s")) == ("relaxed/relaxed", "example.org", "mail2026")


class TestWithASetting:
    """`DKIM_KEY` is set."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        signing = {"dkim_key": SecretStr(pem(RSA)), "dkim_selector": "mail2026", "dkim_domain": "rollcall.example"}
        return settings.model_copy(update=signing)

    def test_every_mail_that_leaves_is_signed(self, world: World) -> None:
        world.has_learners("A")
        world.has_course("safety", "everyone")
        world.announces()
        world.settle()

        signatures = [str(message["DKIM-Signature"]) for message in world.mail.to("a@acme.example")]
        assert len(signatures) == 2
        assert all("d=rollcall.example; s=mail2026;" in signature for signature in signatures)


@pytest.mark.parametrize(
    "meddle",
    [
        lambda message: message.replace(b"Fire safety", b"Free money", 1),
        lambda message: message.replace(b"Anna Jones", b"Annie Jones", 1),
        lambda message: message.replace(b"unsubscribe/", b"unsubscribe/A", 1),
        lambda message: message.replace(b"One-Click", b"Two-Click", 1),
        lambda message: message.replace(b"Hello.", b"Hullo.", 1),
        lambda message: message + b"More.\r\n",
        lambda message: message.replace(b"\r\nTo:", b"\r\nFrom: Eve <eve@example.net>\r\nTo:", 1),
        lambda message: message.replace(b"\r\nTo:", b"\r\nSubject: Free money\r\nTo:", 1),
        lambda message: message.replace(b"\r\nTo:", b"\r\nReply-To: eve@example.net\r\nTo:", 1),
        lambda message: message.replace(b"\r\nTo:", b"\r\nCc: eve@example.net\r\nTo:", 1),
        lambda message: b"List-Unsubscribe: <https://eve.example/>\r\n" + message,
        lambda message: message.replace(b"\r\n\r\n", b"\r\nList-Unsubscribe: <https://eve.example/>\r\n\r\n", 1),
        lambda message: b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" + message,
    ],
)
@either
def test_what_is_changed_or_added_on_the_way_breaks_the_signature(
    meddle: Callable[[bytes], bytes], algorithm: str
) -> None:
    message = signed(algorithm=algorithm)

    assert meddle(message) != message
    assert not verified(meddle(message), SIGNERS[algorithm])


@either
@pytest.mark.parametrize("header", ["List-Unsubscribe: <https://eve.example/>", "List-Unsubscribe-Post: x"])
def test_a_notice_that_says_nothing_of_unsubscribing_cannot_be_made_to(header: str, algorithm: str) -> None:
    message = signed(Kind.ENROLMENT, algorithm)

    assert verified(message, SIGNERS[algorithm])
    assert not verified(header.encode() + b"\r\n" + message, SIGNERS[algorithm])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no private key in PEM"),
        ("-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----", "no private key in PEM"),
        (pem(SHORT), "at least 2048 bits, and this one has 1024"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "an RSA or an Ed25519 key"),
        (pem(RSA, password=b"secret"), "encrypted"),
    ],
)
def test_what_mail_cannot_be_signed_with_is_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read_key(text)
