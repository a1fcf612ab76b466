"""The merge language, and what becomes of it in the messages that admins write and Rollcall sends."""

from collections.abc import Mapping
from email import message_from_bytes, policy
from email.message import EmailMessage
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.mail.composing.branding import Branding
from tasks.mail.composing.merge import MergeError, MergeField, Raw, Slot, one_line, parse, tokens
from tasks.mail.composing.message import compile_message
from tasks.mail.composing.templates import announcement, listing, notice
from tasks.mail.rules import Kind

ANNA: Mapping[str, str | None] = {
    "first_name": "Anna",
    "last_name": "Ó Briain",
    "full_name": "Anna Ó Briain",
    "username": "anna",
    "email": "anna@example.org",
}

ACME = Branding("Acme")

#: Ways to write the beginning, the inside and the end of a token that no admin was given.
FORGERIES = st.sampled_from(
    [
        "[[raw:list]]",
        r"\[\[raw:list\]\]",
        "&#91;&#91;raw:list&#93;&#93;",
        "&lbrack;[raw:list]]",
        "[",
        "[raw:list]]",
        "&#123;&#123; username &#125;&#125;",
        "&lcub;{ username }&rcub;",
        r"\{{ username }\}",
        "{",
        "}",
        " username ",
        "`",
        "\n\n    ",
        "**",
        "\ufdd00\ufdd1",
        "\ufdd09\ufdd1",
        "&#xfdd0;0&#xfdd1;",
        "](https://example.org/[[raw:list]])",
        "<b>",
        "<p title='[[raw:list]]'>",
        "<img src=https://a.example/[[raw:list]] alt='{{ username }}'>".replace("{{ ", "&#123;{ "),
        "<!--",
        "-->",
        "<textarea>",
        "\ue000",
        "place-of-body",
        "{{ organisation }}",
        "{{ first_name }}",
        '{{ first_name | default: "[[raw:list]]" }}',
    ]
)


class Page(HTMLParser):
    """What a reader of the HTML sees, and where its links lead."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str | None] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in {"href", "src"}]

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] != ["style"]:
            self.words.append(data)

    @property
    def text(self) -> str:
        return one_line("".join(self.words))


def received(letter: tuple[str, str, str], values: Mapping[str, str | None]) -> tuple[str, Page, str]:
    subject, html, text = letter
    message = compile_message(subject=subject, html=html, text=text, mail_from="rollcall@example.org")
    octets = message.render(
        to_address="anna@example.org",
        to_name="Anna",
        message_id="<1@example.org>",
        date="Sun, 01 Mar 2026 00:00:00 +0000",
        values=values,
    )
    read = message_from_bytes(octets, policy=policy.default)
    assert isinstance(read, EmailMessage)
    plain, markup = read.get_body(("plain",)), read.get_body(("html",))
    assert plain is not None
    assert markup is not None
    return read["Subject"], Page(markup.get_content()), plain.get_content().replace("\r\n", "\n")


def test_fields_and_defaults_are_read() -> None:
    assert parse('Hi {{first_name}}, {{  email|default:"no address"  }}!') == (
        "Hi ",
        Slot(MergeField.FIRST_NAME),
        ", ",
        Slot(MergeField.EMAIL, "no address"),
        "!",
    )
    assert parse("") == ()


@given(st.sampled_from(MergeField), st.text().filter(lambda text: not set(text) & set('{}"')))
def test_a_slot_is_written_as_it_is_read(field: MergeField, default: str) -> None:
    slot = Slot(field, one_line(default))
    assert parse(str(slot)) == (slot,)
    assert tokens(str(slot)) == (slot,)


@given(st.text(alphabet="{}[]raw:% \nab"))
def test_text_without_double_braces_is_left_alone(text: str) -> None:
    text = text.replace("{{", "{").replace("}}", "}")
    while "{{" in text or "}}" in text:
        text = text.replace("{{", "{").replace("}}", "}")
    assert "".join(map(str, parse(text))) == text


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ("{{ 7*7 }}", "{{ 7*7 }} is not a merge field"),
        ("{{ nickname }}", "{{ nickname }} is not a merge field"),
        ("{{ first_name.__class__ }}", "{{ first_name.__class__ }} is not a merge field"),
        ("{{ first_name | upper }}", "{{ first_name | upper }} is not a merge field"),
        ("{{ first_name | default: there }}", "{{ first_name | default: there }} is not a merge field"),
        ("{{ First_Name }}", "{{ First_Name }} is not a merge field"),
        ("{{}}", "{{}} is not a merge field"),
        ("{{{ first_name }}}", "{{{ first_name }} is not a merge field"),
        ("{{ first_name", "{{ is never closed by }}"),
        ("first_name }}", "}} closes nothing"),
        ("{{ first_name }}}}", "}} closes nothing"),
        ("{{ " + "x" * 500 + " }}", "{{ " + "x" * 57 + "… is not a merge field"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_what_is_allowed(wrong: str, sentence: str) -> None:
    with pytest.raises(MergeError) as caught:
        parse(f"Dear {{{{ first_name }}}},\n\nYour {wrong}\nGoodbye")
    assert str(caught.value).startswith(f"Line 3: {sentence}.")
    assert "one of: first_name, last_name, full_name, username, email, organisation." in str(caught.value)


def test_a_finished_template_may_hold_other_braces() -> None:
    css = "@media screen { .a { width: 100% }} {{ 7*7 }} [[raw:]]"
    assert tokens(f"{css}[[raw:courses_html]]{{{{ email }}}}") == (css, Raw("courses_html"), Slot(MergeField.EMAIL))


@pytest.mark.parametrize("nothing", [{}, {"first_name": None}, {"first_name": ""}, {"first_name": " \r\n\t"}])
def test_no_value_takes_the_default(nothing: Mapping[str, str | None]) -> None:
    assert Slot(MergeField.FIRST_NAME, "there").fill(nothing) == "there"
    assert Slot(MergeField.FIRST_NAME).fill(nothing) == ""


def test_an_announcement_reaches_each_recipient_in_their_own_words() -> None:
    body = '# Hello {{ first_name | default: "there" }}\n\n**{{organisation}}** has *news* for `{{ username }}`.'
    letter = announcement("News for {{ full_name }} at {{ organisation }}", body, Branding("Acme & Söhne"))

    subject, page, text = received(letter, ANNA)
    assert subject == "News for Anna Ó Briain at Acme & Söhne"
    assert "Hello Anna Acme & Söhne has news for anna." in page.text
    assert {"h1", "strong", "em", "code"} <= set(page.tags)
    assert text.startswith("Hello Anna\n\n*Acme & Söhne* has _news_ for anna.\n\n-- \n")

    subject, page, text = received(letter, {})
    assert subject == "News for at Acme & Söhne"
    assert "Hello there" in page.text
    assert text.startswith("Hello there\n")


def test_a_default_comes_through_markdown_and_escaping_as_written() -> None:
    letter = announcement("x", '**{{ first_name | default: "<you> & *me* 1" }}**', ACME)
    _, page, text = received(letter, {})
    assert "<you> & *me* 1" in page.text
    assert "em" not in page.tags
    assert text.startswith("*<you> & *me* 1*")


def test_a_value_is_text_and_never_markup() -> None:
    name = '*x* <img src="https://evil.example"> [a](https://evil.example) {{ email }}'
    _, page, text = received(
        announcement("x", 'Hi {{ first_name }} [l](https://a.example "{{ first_name }}")', ACME),
        {"first_name": name, "email": "secret"},
    )
    assert f"Hi {name}" in page.text
    assert page.links == ["https://a.example"]
    assert text.startswith(f"Hi {name} ")


@given(st.lists(FORGERIES, max_size=12), st.lists(FORGERIES, max_size=4))
def test_what_an_admin_types_never_becomes_a_token_they_were_not_given(body: list[str], name: list[str]) -> None:
    try:
        letter = announcement("".join(body), "".join(body), Branding("".join(name)))
    except MergeError:
        return
    subject, page, text = received(letter, {"first_name": "Anna", "username": "SECRET", "list": "SECRET"})
    assert "SECRET" not in subject
    assert "SECRET" not in page.text + str(page.links)
    assert "SECRET" not in text


def test_what_looks_like_code_is_shown_as_it_was_typed() -> None:
    typed = "[[raw:courses_html]] {% for x in y %} {# no #} <your name> ${7+7} #{7+7} <%= 7+7 %>"
    subject, page, text = received(announcement(typed, typed, ACME), {"courses_html": "SECRET"})
    assert typed in page.text
    assert subject.replace("\u2060", "") == typed
    assert text.replace("\u2060", "").startswith(typed)


def test_links_lead_to_the_web_or_to_an_address() -> None:
    body = (
        "[a](https://a.example/?x=1&y={z}) [b](HTTP://b.example) [c](mailto:c@example.org) <https://d.example>\n"
        "www.e.example and f@example.org"
    )
    _, page, _ = received(announcement("x", body, ACME), {})
    assert page.links == [
        "https://a.example/?x=1&y=%7Bz%7D",
        "HTTP://b.example",
        "mailto:c@example.org",
        "https://d.example",
        "http://www.e.example",
        "mailto:f@example.org",
    ]


@pytest.mark.parametrize(
    "link",
    [
        "[a]({{ first_name }})",
        "[a](https://{{ username }}.example)",
        "![a](https://a.example/{{ email }}.png)",
        "<mailto:a@{{ username }}>",
        "[a]\n\n[a]: https://a.example/{{ email }}",
        "https://a.example/{{ email }}",
        "**https://a.example/?u=**{{ email }}",
        "<https://a.example/>{{ email }}",
        "<p>https://a.example/<b>{{ email }}</b>",
        "www.a.example/{{ email }}",
        '{{ username | default: "https://a.example/" }}{{ email }}',
        "<a href='https://a.example/{{ email }}'>x</a>",
    ],
)
def test_a_link_leads_every_recipient_to_the_same_place(link: str) -> None:
    with pytest.raises(MergeError, match="address of a link"):
        announcement("x", link, ACME)


def test_an_announcement_links_to_unsubscribing_where_asked() -> None:
    values = {"unsubscribe_url": "https://example.org/unsubscribe/1"}
    _, page, text = received(announcement("x", "y", ACME, unsubscribe_link=True), values)
    assert page.links == ["https://example.org/unsubscribe/1"]
    assert text.endswith("\nUnsubscribe from announcements (https://example.org/unsubscribe/1)")
    _, page, text = received(announcement("x", "y", ACME), {})
    assert page.links == []
    assert "nsubscribe" not in page.text + text


def test_nothing_in_a_message_is_fetched_from_elsewhere() -> None:
    for letter in (announcement("x", "y", ACME), notice(Kind.ENROLMENT, ACME, "en"), notice(Kind.PASSWORD, ACME)):
        assert "googleapis" not in letter[1]


@pytest.mark.parametrize(
    ("locale", "greeting"),
    [("en", "Hello Anna,"), ("nl-BE", "Beste Anna,"), ("fr_FR", "Bonjour Anna,"), ("pt", "Hello Anna,"), ("", "Hello")],
)
@pytest.mark.parametrize("kind", [Kind.ENROLMENT, Kind.DIGEST])
def test_r12_one_notice_lists_every_course_in_the_learners_language(kind: Kind, locale: str, greeting: str) -> None:
    courses_html, courses_text = listing(["Fire safety", "R&D <basics>", "Two\nlines"])
    values = {**ANNA, "courses_html": courses_html, "courses_text": courses_text}
    subject, page, text = received(notice(kind, Branding("Acme & Söhne"), locale), values)

    assert subject.endswith("Acme & Söhne")
    assert greeting in page.text
    assert text.startswith(greeting)
    assert page.tags.count("li") == 3
    assert "Fire safetyR&D <basics>Two lines" in page.text
    assert "\n\n- Fire safety\n- R&D <basics>\n- Two lines\n\n" in text


def test_s8_admins_are_told_whose_password_to_set() -> None:
    learners_html, learners_text = listing(["Anna Ó Briain (anna)", "Ben (ben)"])
    subject, page, text = received(
        notice(Kind.PASSWORD, ACME), {"learners_html": learners_html, "learners_text": learners_text}
    )
    assert subject == "Temporary passwords to set at Acme"
    for said in (page.text, one_line(text)):
        assert "sign in by username and are active again. Their earlier passwords are void." in said
        assert "set a temporary password for each of them and hand it over" in said
    assert page.tags.count("li") == 2
    assert "- Anna Ó Briain (anna)\n- Ben (ben)\n" in text
