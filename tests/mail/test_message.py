"""Messages, read back by the standard library as a mail client would read them."""

import re
from base64 import b64decode
from collections.abc import Mapping
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import format_datetime, getaddresses
from html import escape

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tasks.mail.addresses import needs_smtputf8, wire_address
from tasks.mail.composing.merge import said
from tasks.mail.composing.message import CompiledMessage, compile_message, feedback_id
from tasks.mail.ledger.message_ids import MessageIds

NOON = datetime(2026, 3, 1, 12, 0, 5, tzinfo=UTC)
OWN_HEADERS = ["From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type"]

#: What people are called, and what goes wrong with it.
AWKWARD = st.sampled_from(
    [
        "",
        " ",
        "Anna",
        "O'Brien, Siobhán",
        'Jane "JJ" Doe',
        "back\\slash",
        "Zoë 🎓",
        "שלום עולם",
        ".leading dot",
        "From here",
        "a=b=c",
        "=?utf-8?q?forged?=",
        "=?",
        "Eve\r\nBcc: all@example.org",
        "Eve\nX-Evil: 1\r\n\r\nbody",
        "tab\tand\x00nul\x7f",
        "line\u2028separator\x85next",
        "<script>alert('x')</script> & more",
        "{{ email }}",
        "[[raw:list]]",
        "x" * 3000,
        "ü" * 700,
        "long words " * 200,
        "\u202eelpmaxe",
        "\u2069\u202c Eve \u2066",
        " =20 ",
    ]
)
ANYTHING = AWKWARD | st.text() | st.text(alphabet=".=Fromé \r\n", max_size=200)


def compiled(
    *,
    subject: str = "Hello",
    html: str = "<p>Hello</p>",
    text: str = "Hello",
    mail_from: str = "Rollcall <rollcall@example.org>",
    headers: Mapping[str, str] | None = None,
) -> CompiledMessage:
    return compile_message(subject=subject, html=html, text=text, mail_from=mail_from).with_headers(headers or {})


def rendered(
    message: CompiledMessage,
    *,
    to_address: str = "anna@example.org",
    to_name: str = "Anna",
    values: Mapping[str, str | None] | None = None,
    extra: Mapping[str, str] | None = None,
) -> bytes:
    return message.render(
        to_address=to_address,
        to_name=to_name,
        message_id="<1@example.org>",
        date=format_datetime(NOON),
        values=values or {},
        extra=extra or {},
    )


def read(octets: bytes) -> EmailMessage:
    message = message_from_bytes(octets, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def body(octets: bytes, kind: str) -> str:
    part = read(octets).get_body((kind,))
    assert part is not None
    content = part.get_content()
    assert isinstance(content, str)
    return content.replace("\r\n", "\n")


def recipients(octets: bytes) -> list[tuple[str, str]]:
    """The people in To. (`AddressHeader` leaves a space between encoded words, which RFC 2047 section 6.2 drops.)"""
    to = message_from_bytes(octets, policy=policy.compat32)["To"].replace("\r\n", "")
    return [(str(make_header(decode_header(name))), address) for name, address in getaddresses([to])]


def without_tokens(text: str) -> str:
    return text.replace("{{", "").replace("[[", "")


def on_one_line(text: str) -> str:
    return " ".join(word for word in re.split("[\x00-\x20\x7f-\x9f\u2028\u2029]", text) if word)


def with_line_feeds(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


@given(first_name=ANYTHING, before=ANYTHING, after=ANYTHING)
@example(first_name="A&B", before="", after="")
@example(first_name="O'Neil", before="", after="")
@example(first_name='"JJ"', before="", after="")
@example(first_name="a<b", before="", after="")
@example(first_name="a=3D", before="", after="")
@example(first_name="two  blanks", before="  ", after="   x  ")
def test_each_recipient_reads_their_own_name_in_both_bodies_exactly(first_name: str, before: str, after: str) -> None:
    before, after = without_tokens(before), without_tokens(after)
    template = f'{before}{{{{ first_name | default: "<you>" }}}}{after}{{{{ first_name }}}}'
    octets = rendered(compiled(html=template, text=template), values={"first_name": first_name})

    name = said(first_name)
    before, after = with_line_feeds(before), with_line_feeds(after)
    assert body(octets, "plain") == f"{before}{name or '<you>'}{after}{name}"
    assert body(octets, "html") == f"{before}{escape(name or '<you>')}{after}{escape(name)}"


@given(items=st.lists(ANYTHING), after=ANYTHING)
def test_a_raw_value_keeps_its_markup_and_its_lines(items: list[str], after: str) -> None:
    after = without_tokens(after)
    listed = "\n".join(items)
    octets = rendered(
        compiled(html="<div>[[raw:list]]</div>", text=f"Yours:\n[[raw:list]]{after}"),
        values={"list": listed},
    )
    assert body(octets, "html") == f"<div>{with_line_feeds(listed)}</div>"
    assert body(octets, "plain") == with_line_feeds("Yours:\n" + listed) + with_line_feeds(after)


@pytest.mark.parametrize("missing", [{}, {"courses_text": None}])
def test_a_missing_raw_value_stops_the_message(missing: Mapping[str, str | None]) -> None:
    with pytest.raises(KeyError, match="courses_text"):
        rendered(compiled(text="[[raw:courses_text]]"), values=missing)


def test_a_value_is_never_read_as_a_template() -> None:
    values = {"first_name": "{{ email }} [[raw:list]]", "email": "secret", "list": "secret"}
    octets = rendered(
        compiled(subject="{{ first_name }}", html="{{ first_name }}{{ email }}", text="{{ first_name }}"), values=values
    )
    assert read(octets)["Subject"] == "{{ email }} [[raw:list]]"
    assert body(octets, "plain") == "{{ email }} [[raw:list]]"


@given(subject=ANYTHING, first_name=ANYTHING)
@example(subject="a" * 2000, first_name="")
@example(subject="lone surrogate", first_name="\ud800")
def test_the_subject_reads_back_exactly_on_one_line(subject: str, first_name: str) -> None:
    subject = without_tokens(subject)
    octets = rendered(compiled(subject=f"{subject}: {{{{ first_name }}}}"), values={"first_name": first_name})
    expected = on_one_line(f"{subject}: {said(first_name)}").replace("\ud800", "?")
    assert read(octets)["Subject"] == expected


@given(subject=st.text(alphabet="aé€🎓", min_size=1))
def test_no_character_is_cut_between_two_encoded_words(subject: str) -> None:
    octets = rendered(compiled(subject=f"é{subject}"))
    words = re.findall(rb"=\?utf-8\?b\?(.*?)\?=", octets)
    assert "".join(b64decode(word).decode() for word in words) == f"é{subject}"


@given(name=ANYTHING)
@example(name='Doe, "J\\D" <eve@example.org>')
@example(name="=?utf-8?b?ZXZl?= Müller, the second of that name, who is called by all of it")
def test_the_recipient_is_one_person_by_their_own_name(name: str) -> None:
    octets = rendered(compiled(), to_name=name, to_address="anna@example.org")
    assert recipients(octets) == [(said(name), "anna@example.org")]


@given(subject=ANYTHING, name=ANYTHING, value=ANYTHING, extra=ANYTHING, fixed=ANYTHING)
def test_nothing_a_person_typed_makes_a_header(subject: str, name: str, value: str, extra: str, fixed: str) -> None:
    message = compiled(subject=without_tokens(subject) + "{{ username }}", headers={"List-Id": fixed})
    octets = rendered(message, to_name=name, values={"username": value}, extra={"X-Extra": extra})
    read_back = read(octets)
    assert read_back.keys() == [*OWN_HEADERS, "List-Id", "X-Extra"]
    assert read_back["List-Id"] == on_one_line(fixed)
    assert read_back["X-Extra"] == on_one_line(extra)
    assert len(list(read_back.iter_parts())) == 2


@given(subject=ANYTHING, name=ANYTHING, value=ANYTHING, before=ANYTHING, after=ANYTHING)
@example(subject="x", name="", value=".", before="." * 80, after="From me")
@example(subject="x", name="", value="From me", before="é" * 80, after="." * 500)
@example(subject="x" * 900, name="x" * 900, value="y" * 75 + ".", before="y" * 72 + "=" * 9, after="From From From")
def test_every_line_keeps_within_its_limit(subject: str, name: str, value: str, before: str, after: str) -> None:
    template = f"{without_tokens(before)}{{{{ username }}}}{without_tokens(after)}[[raw:list]]"
    message = compiled(
        subject=without_tokens(subject) + "{{ username }}",
        text=template,
        html=template + " ",
        headers={"X-Long": "z" * 5000},
    )
    octets = rendered(message, to_name=name, values={"username": value, "list": value}, extra={"X-Other": value})

    lines = octets.split(b"\r\n")
    assert not [line for line in lines if b"\r" in line or b"\n" in line]
    assert max(map(len, lines)) <= 998
    bodies = lines[lines.index(b"") :]
    assert max(map(len, bodies)) <= 76
    assert not [line for line in bodies if line.startswith((b".", b"From "))]
    assert not [line for line in bodies if line.endswith((b" ", b"\t"))]
    assert octets.isascii()


def test_headers_come_in_the_order_people_expect() -> None:
    message = compiled(headers={"List-Id": "<acme.example.org>", "Auto-Submitted": "auto-generated"})
    read_back = read(rendered(message, extra={"List-Unsubscribe": "<https://example.org/u/1>"}))
    assert read_back.keys() == [*OWN_HEADERS, "List-Id", "Auto-Submitted", "List-Unsubscribe"]
    assert read_back["From"] == "Rollcall <rollcall@example.org>"
    assert read_back["Date"].datetime == NOON
    assert read_back["Message-ID"] == "<1@example.org>"
    assert read_back["List-Unsubscribe"] == "<https://example.org/u/1>"
    assert read_back.get_content_type() == "multipart/alternative"
    parts = [(part.get_content_type(), part["Content-Transfer-Encoding"]) for part in read_back.iter_parts()]
    assert parts == [("text/plain", "quoted-printable"), ("text/html", "quoted-printable")]


def test_a_header_needs_a_name() -> None:
    with pytest.raises(ValueError, match="not the name of a header"):
        compiled(headers={"X-Evil: 1\r\nX-More": "1"})


@pytest.mark.parametrize(
    ("mail_from", "name"),
    [
        ("a@example.org", ""),
        ("Acme <a@example.org>", "Acme"),
        ('"Doe, J" <a@example.org>', "Doe, J"),
        ("Acme, Inc. <a@example.org>", "Acme, Inc."),
        ("Zoë & Co <a@example.org>", "Zoë & Co"),
    ],
)
def test_the_sender_is_one_address_with_or_without_a_name(mail_from: str, name: str) -> None:
    sender = read(rendered(compiled(mail_from=mail_from)))["From"]
    assert [(address.display_name, address.addr_spec) for address in sender.addresses] == [(name, "a@example.org")]


def test_the_boundary_is_the_same_each_time_and_cannot_be_typed() -> None:
    message = compiled(text="[[raw:list]]", html="[[raw:list]]")
    boundary = read(rendered(message, values={"list": ""})).get_boundary()
    assert (
        boundary
        == read(rendered(compiled(text="[[raw:list]]", html="[[raw:list]]"), values={"list": ""})).get_boundary()
    )
    typed = f"\n--{boundary}\n\n--{boundary}--\n"
    octets = rendered(message, values={"list": typed})
    assert body(octets, "plain") == typed
    assert body(octets, "html") == typed


@pytest.mark.parametrize(
    ("address", "on_the_wire", "smtputf8"),
    [
        ("anna@example.org", "anna@example.org", False),
        ("a.b+c'd@sub.example.org", "a.b+c'd@sub.example.org", False),
        ("anna@müller.de", "anna@xn--mller-kva.de", False),
        ("anna@faß.de", "anna@xn--fa-hia.de", False),
        ("zoë@example.org", "zoë@example.org", True),
        ("用户@例子.广告", "用户@例子.广告", True),
    ],
)
def test_an_international_address_is_written_as_its_server_takes_it(
    address: str, on_the_wire: str, smtputf8: bool
) -> None:
    assert wire_address(address) == on_the_wire
    assert needs_smtputf8(address) is smtputf8
    assert f"To: Anna <{on_the_wire}>\r\n".encode() in rendered(compiled(), to_address=address)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "anna",
        "anna@",
        "@example.org",
        "a@b@example.org",
        "anna@example.org\r\nBcc: all@example.org",
        "anna@example.org\n",
        "anna smith@example.org",
        "anna\u00a0s@example.org",
        "anna@example.org,eve@example.org",
        "<anna@example.org>",
        "anna<eve@example.org>@example.org",
        '"anna"@example.org',
        "anna\x00@example.org",
        "anna\u2028@example.org",
        "anna\ud800@example.org",
        "anna@exa_mple.ü",
        "anna@example.org.",
        "anna@example..org",
        "anna@.example.org",
        "anna@-example.org",
        "anna@example-.org",
        "an..na@example.org",
        ".anna@example.org",
        "anna.@example.org",
        "an\u00adna@example.org",
        "\u200banna@example.org",
        "anna@example.org\u200e",
        "a" * 250 + "@example.org",
    ],
)
def test_what_is_not_one_plain_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="that mail can be sent to"):
        rendered(compiled(), to_address=address)


@given(st.lists(st.text(), min_size=1, max_size=4), st.lists(st.text(), min_size=1, max_size=4))
@example(["ab", "c"], ["a", "bc"])
@example(["a", ""], ["a"])
def test_r19_a_delivery_has_one_message_id_and_no_other_delivery_has_it(one: list[str], other: list[str]) -> None:
    def message_id(parts: list[str]) -> str:
        return MessageIds(parts[:-1], "example.org").of(parts[-1])

    assert (message_id(one) == message_id(other)) is (one == other)
    assert re.fullmatch(r"<[0-9a-f]{40}@example\.org>", message_id(one))


def test_r19_the_message_ids_of_a_mailing_do_not_depend_on_which_were_asked_for_before() -> None:
    ids = MessageIds(["mailing"], "example.org")
    first = ids.of("learner")

    assert ids.of("another") != first
    assert ids.of("learner") == first


def test_a_message_id_is_ascii_and_stays_what_it_was() -> None:
    assert MessageIds(["mailing"], "müller.de").of("learner") == (
        "<fef74e76828329bb6865d5af5c33b9b3f4fa3cc9@xn--mller-kva.de>"
    )


def test_feedback_id_is_as_the_contract_says() -> None:
    assert feedback_id("m:1", "Zoë & Co/x", "announcement") == "m%3A1:Zo%C3%AB%20%26%20Co%2Fx:announcement:rollcall"


@given(mailing=st.text(min_size=1, max_size=200), organisation=st.text(min_size=1, max_size=200))
@example(mailing="🎓" * 200, organisation="学" * 200)
def test_feedback_id_survives_the_header_whatever_the_ids(mailing: str, organisation: str) -> None:
    feedback = feedback_id(mailing, organisation, "password")
    assert feedback.count(":") == 3
    assert read(rendered(compiled(headers={"Feedback-ID": feedback})))["Feedback-ID"] == feedback
