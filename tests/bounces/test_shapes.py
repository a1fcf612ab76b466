"""A collection of reports, answers and complaints in the formats of many mail systems: R21."""

import pytest

from tasks.bounces.reader import read
from tasks.bounces.rules import BounceKind, Ignored, judge
from tasks.mail.sending.answers import ABOUT_US, About, Stage, about
from tests.bounces import reports, shapes
from tests.mail.replies import REPLIES

RETURNS_TO = "bounces+token@bounces.rollcall.example"
ADDRESS = "jan.de.vries@school.example"


def judged(message: bytes, *, null_sender: bool = True) -> BounceKind | Ignored:
    said = judge(read(message), null_sender=null_sender)
    return said if isinstance(said, Ignored) else said.kind


def written(headers: dict[str, str], text: str) -> bytes:
    """A message in plain text."""
    head = "".join(f"{name}: {said}\n" for name, said in {"To": RETURNS_TO, **headers}.items())
    return f"{head}\n{text}".replace("{to}", ADDRESS).replace("\n", "\r\n").encode()


def as_page(headers: dict[str, str], text: str) -> bytes:
    """The same in HTML alone."""
    lines = "<br>\n".join(line.replace("&", "&amp;").replace("<", "&lt;") for line in text.split("\n"))
    return written(headers | {"Content-Type": "text/html; charset=utf-8"}, f"<html><body><p>{lines}</p></body></html>")


@pytest.mark.parametrize(("status", "diagnostic", "expected"), shapes.STATUS)
def test_r21_a_report_with_fields(status: str, diagnostic: str, expected: BounceKind | Ignored) -> None:
    came = reports.postfix(RETURNS_TO, ADDRESS, status=status, diagnostic=diagnostic.replace("{to}", ADDRESS))

    assert judged(came.message) is expected


@pytest.mark.parametrize(("writer", "subject", "text", "expected"), shapes.PROSE)
def test_r21_a_report_for_people(writer: str, subject: str, text: str, expected: BounceKind | Ignored) -> None:
    headers = {"From": writer, "Subject": subject}

    assert judged(written(headers, text)) is expected
    assert judged(as_page(headers, text)) is expected


@pytest.mark.parametrize("null_sender", [True, False])
@pytest.mark.parametrize(("headers", "text"), shapes.ANSWERS)
def test_r21_an_answer_for_a_person_is_never_a_bounce(headers: dict[str, str], text: str, null_sender: bool) -> None:
    said = judged(written({"From": f"Jan <{ADDRESS}>"} | headers, text), null_sender=null_sender)

    assert said in {Ignored.AUTO_REPLY, Ignored.NO_REPORT}


def test_the_collection_is_large_and_at_least_nine_in_ten_hard_ones_are_judged_hard() -> None:
    found = [
        (expected, judged(reports.postfix(RETURNS_TO, ADDRESS, status=status, diagnostic=said).message))
        for status, said, expected in shapes.STATUS
    ]
    found += [
        (expected, judged(written({"From": writer, "Subject": subject}, text)))
        for writer, subject, text, expected in shapes.PROSE
    ]
    hard = [said for expected, said in found if expected is BounceKind.HARD]
    others = [said for expected, said in found if expected is not BounceKind.HARD]

    assert len(found) + len(shapes.ANSWERS) >= 150
    assert hard.count(BounceKind.HARD) >= 0.9 * len(hard)
    assert others.count(BounceKind.HARD) == 0


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [(code, text, what) for stage, code, text, what in REPLIES if stage is Stage.RCPT and code >= 500],
)
def test_r21_a_report_is_judged_as_a_reply_is(code: int, text: str, expected: About) -> None:
    assert about(code, text, stage=Stage.REPORT) is expected

    said = judged(reports.postfix(RETURNS_TO, ADDRESS, status="5.0.0", diagnostic=f"smtp; {code} {text}").message)

    kind = (
        BounceKind.HARD
        if expected is About.MAILBOX
        else BounceKind.BLOCKED
        if expected in ABOUT_US
        else BounceKind.SOFT
    )
    assert said is kind


def test_a_text_in_another_charset_is_read() -> None:
    headers = {"From": shapes.DAEMON, "Subject": "failure notice", "Content-Type": "text/plain; charset=iso-2022-jp"}
    head = written(headers, "")

    assert judged(head + "ユーザーは見つかりません\r\n\r\n550 User unknown".encode("iso-2022-jp")) is BounceKind.HARD


def test_a_report_whose_fields_are_broken_is_read_as_the_text_that_it_is() -> None:
    headers = {"From": shapes.DAEMON, "Subject": "failure notice", "Content-Type": "multipart/mixed;"}

    assert judged(written(headers, "boundary lost\n\n550 5.1.1 User unknown")) is BounceKind.HARD


@pytest.mark.parametrize("mark", [{"Auto-Submitted": "auto-replied"}, {"X-Autoreply": "yes"}])
def test_r21_an_answer_that_attaches_a_report_is_no_report(mark: dict[str, str]) -> None:
    report = "Reporting-MTA: dns; mx\n\nFinal-Recipient: rfc822; {to}\nAction: failed\nStatus: 5.1.1"
    parts = f"--b\n\nI am away.\n--b\nContent-Type: message/delivery-status\n\n{report}\n--b--\n"
    head = {"Content-Type": "multipart/mixed; boundary=b", "Subject": "Re: About news"}

    assert judged(written({"From": ADDRESS} | head | mark, parts)) is Ignored.AUTO_REPLY
    assert judged(written({"From": shapes.DAEMON} | head | mark, parts)) is BounceKind.HARD, "a scanner wrapped it"


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        ("Delivered: About news", "Your message was delivered to the following recipients: {to}"),
        ("Successful Mail Delivery Report", "Your message was successfully delivered. 250 ok\n<{to}>: 250 ok"),
        ("Delivery Status Notification", "Delivery to these recipients or groups is complete, but no notice was sent."),
        ("Delivery Status Notification", "Your message has been successfully relayed to the following recipients."),
    ],
)
def test_r21_a_mail_that_arrived_did_not_bounce_softly(subject: str, text: str) -> None:
    assert judged(written({"From": shapes.DAEMON, "Subject": subject}, text)) is Ignored.NO_FAILURE
