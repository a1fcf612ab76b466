"""The headers of each kind of mail, to the letter, and that a reader finds in them what was put there."""

import re
import time
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tasks.mail.composing.envelopes import compose
from tasks.mail.composing.merge import said
from tasks.mail.rules import Kind
from tests.mail.letters import LINKS, mailing, recipient, sender
from tests.mail.test_message import ANYTHING, on_one_line, recipients, without_tokens

#: What every mail has, and after it what its kind has besides.
GOLDEN = """\
From: Learning <learning@example.org>
To: Anna Jones <anna@example.com>
Subject: {subject}
Date: (a date)
Message-ID: <{digest}@example.org>
MIME-Version: 1.0
Content-Type: multipart/alternative;
 boundary="(a boundary)"
Feedback-ID: the%20{kind}:acme:{kind}:rollcall
Auto-Submitted: auto-generated
"""

SUBJECTS = {
    Kind.ANNOUNCEMENT: "Fire safety",
    Kind.ENROLMENT: "You have been enrolled at Acme Academy",
    Kind.DIGEST: "What is open to you at Acme Academy",
    Kind.PASSWORD: "Temporary passwords to set at Acme Academy",
    Kind.SEATS: "81% of the seats of Acme Academy are in use",
}

DIGESTS = {
    Kind.ANNOUNCEMENT: "10e1cfcb59db041790b49e552831a5a85608253d",
    Kind.ENROLMENT: "ca19b24034b14267fd1ba8179c19cf8953d49a19",
    Kind.DIGEST: "4bc79f5b634c11916530424e48378d315644af32",
    Kind.PASSWORD: "218616d898656c9bcd54cbe448931e5a5b84ead3",
    Kind.SEATS: "5cabffc5d590604bf2e6406fd83212535aa19a98",
}

BESIDES = {
    Kind.ANNOUNCEMENT: f"""\
Precedence: bulk
List-Unsubscribe: <{LINKS.base + LINKS.token(3, 42)}/>
List-Unsubscribe-Post: List-Unsubscribe=One-Click
"""
}


def headers(octets: bytes) -> str:
    """The headers as they are sent, apart from the time and the boundary."""
    text = octets.decode().partition("\r\n\r\n")[0].replace("\r\n", "\n") + "\n"
    text = re.sub(r"(?m)^Date: .*$", "Date: (a date)", text)
    return re.sub(r'boundary="=_[0-9a-f]{40}"', 'boundary="(a boundary)"', text)


def read(octets: bytes) -> EmailMessage:
    """The message, as a mail client has it."""
    message = message_from_bytes(octets, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


@pytest.mark.parametrize("kind", Kind)
def test_each_kind_of_mail_has_these_headers_and_no_other(kind: Kind) -> None:
    golden = GOLDEN.format(subject=SUBJECTS[kind], digest=DIGESTS[kind], kind=kind) + BESIDES.get(kind, "")

    assert headers(compose(mailing(kind), recipient(), sender()).message) == golden


@pytest.mark.parametrize("kind", Kind)
def test_a_mail_is_of_the_moment_it_is_made(kind: Kind) -> None:
    before = int(time.time())
    message = read(compose(mailing(kind), recipient(), sender()).message)

    written = parsedate_to_datetime(message["Date"])
    assert before <= written.timestamp() <= time.time()
    assert message["Date"].endswith("+0000")


def test_r19_made_again_a_mail_has_the_same_message_id_and_no_two_have_one() -> None:
    made = [compose(mailing(kind), recipient(), sender()).message for kind in Kind for _ in range(2)]
    ids = [read(message)["Message-ID"] for message in made]

    assert ids[::2] == ids[1::2]
    assert len(set(ids)) == len(Kind)


def test_without_a_name_in_the_senders_address_a_mail_bears_its_organisations() -> None:
    def shown(mail_from: str, name: str) -> str:
        return str(read(compose(mailing(Kind.ENROLMENT, name=name), recipient(), sender(mail_from)).message)["From"])

    assert shown("learning@example.org", "Acme Academy") == "Acme Academy <learning@example.org>"
    assert shown("learning@example.org", 'Acme, "B" <c@d.org>') == '"Acme, \\"B\\" <c@d.org>" <learning@example.org>'
    assert shown("<learning@example.org>", "Acme Academy") == "Acme Academy <learning@example.org>"
    assert shown("learning@example.org", "") == "learning@example.org"
    assert shown("Learning <learning@example.org>", "Acme Academy") == "Learning <learning@example.org>"


def test_a_notice_and_a_test_for_an_admin_do_not_say_how_to_unsubscribe() -> None:
    for_an_admin = compose(mailing(Kind.ANNOUNCEMENT), recipient(number=-1), sender()).message
    notices = [compose(mailing(kind), recipient(), sender()).message for kind in Kind if kind is not Kind.ANNOUNCEMENT]

    assert [octets for octets in (for_an_admin, *notices) if b"nsubscribe" in octets] == []


def test_an_announcement_links_to_the_same_page_in_its_header_its_text_and_its_html() -> None:
    message = read(compose(mailing(Kind.ANNOUNCEMENT), recipient(), sender()).message)
    link = f"{LINKS.base}{LINKS.token(3, 42)}/"

    for kind in ("plain", "html"):
        body = message.get_body((kind,))
        assert body is not None
        assert body.get_content().count(link) == 1
    assert message["List-Unsubscribe"] == f"<{link}>"


@given(
    kind=st.sampled_from(Kind),
    subject=ANYTHING,
    name=st.tuples(ANYTHING, ANYTHING),
    organisation=ANYTHING,
    items=st.lists(ANYTHING, min_size=1, max_size=4),
)
@example(Kind.ANNOUNCEMENT, "é" * 500, ("学" * 500, "🎓" * 500), "x" * 2000, ["y"])
def test_every_kind_reads_back_whatever_people_and_organisations_are_called(
    kind: Kind, subject: str, name: tuple[str, str], organisation: str, items: list[str]
) -> None:
    who = recipient(first_name=name[0], last_name=name[1], items=items)
    subject = without_tokens(subject).replace("}", "")
    what = mailing(kind, subject=subject, name=organisation)
    octets = compose(what, who, sender("learning@example.org")).message

    message = read(octets)
    assert message.keys() == re.findall(
        r"(?m)^([A-Za-z-]+):", headers(compose(mailing(kind), recipient(), sender()).message)
    )
    assert recipients(octets) == [(said(" ".join(name).strip()), "anna@example.com")]
    assert message["From"].addresses[0].addr_spec == "learning@example.org"
    if kind is Kind.ANNOUNCEMENT:
        assert message["Subject"] == on_one_line(subject)
    else:
        plain = message.get_body(("plain",))
        assert plain is not None
        listed = "" if kind is Kind.SEATS else "\n".join(f"- {said(item)}" for item in items)
        assert listed in plain.get_content().replace("\r\n", "\n")
    assert not message.defects
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert max(map(len, octets.split(b"\r\n"))) <= 998
