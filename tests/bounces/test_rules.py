"""What a report means: R21."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.bounces.reader import BounceReport, Fate, read
from tasks.bounces.rules import LONGEST_DIAGNOSTIC, SOFT_IN_A_ROW, Bounce, BounceKind, Ignored, in_a_row, judge
from tests.bounces import reports
from tests.bounces.reports import Came

RETURNS_TO = "bounces+token@bounces.rollcall.example"
ADDRESS = "jan.de.vries@school.example"


def judged(came: Came) -> Bounce | Ignored:
    return judge(read(came.message), null_sender=not came.sender)


def kind(came: Came) -> BounceKind | Ignored:
    said = judged(came)
    return said if isinstance(said, Ignored) else said.kind


@pytest.mark.parametrize("system", [reports.postfix, reports.exim, reports.exchange, reports.gmail, reports.ses])
def test_r21_each_system_says_in_its_way_that_there_is_no_such_mailbox(system: reports.System) -> None:
    said = judged(system(RETURNS_TO, ADDRESS))

    assert isinstance(said, Bounce)
    assert said.kind is BounceKind.HARD
    assert said.status in {"5.1.1", "5.1.10"}
    assert said.diagnostic is not None
    assert "550" in said.diagnostic


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("5.1.1", BounceKind.HARD),
        ("5.1.2", BounceKind.HARD),
        ("5.1.3", BounceKind.HARD),
        ("5.1.6", BounceKind.HARD),
        ("5.1.10", BounceKind.HARD),
        ("5.2.1", BounceKind.HARD),
        ("5.1.1 (permanent failure)", BounceKind.HARD),
        ("5.1.0", BounceKind.SOFT),
        ("5.2.0", BounceKind.SOFT),
        ("5.2.2", BounceKind.SOFT),
        ("5.4.1", BounceKind.SOFT),
        ("5.4.4", BounceKind.SOFT),
        ("5.4.7", BounceKind.SOFT),
        ("4.1.1", BounceKind.SOFT),
        ("4.2.2", BounceKind.SOFT),
        ("4.4.7", BounceKind.SOFT),
        ("nonsense", BounceKind.SOFT),
        ("", BounceKind.SOFT),
        ("5.1.7", BounceKind.BLOCKED),
        ("5.1.8", BounceKind.BLOCKED),
        ("5.2.3", BounceKind.BLOCKED),
        ("5.3.4", BounceKind.BLOCKED),
        ("5.5.2", BounceKind.BLOCKED),
        ("5.6.1", BounceKind.BLOCKED),
        ("5.7.1", BounceKind.BLOCKED),
        ("5.7.26", BounceKind.BLOCKED),
        ("4.7.0", BounceKind.BLOCKED),
    ],
)
def test_r21_what_a_status_says_of_the_address(status: str, expected: BounceKind) -> None:
    assert kind(reports.postfix(RETURNS_TO, ADDRESS, status=status, diagnostic="x-unix; no")) is expected


@pytest.mark.parametrize(
    ("diagnostic", "status", "expected"),
    [
        ("smtp; 550 5.1.1 unknown", "5.1.1", BounceKind.HARD),
        ("smtp; 554 5.7.1 spam", "5.7.1", BounceKind.BLOCKED),
        ("smtp; 550 no such user", "5.0.0", BounceKind.HARD),
        ("smtp; 550 no", "5.0.0", BounceKind.SOFT),
        ("smtp; 550 refused from [5.1.1.7]", "5.0.0", BounceKind.SOFT),
    ],
)
def test_r21_where_the_status_says_nothing_the_servers_words_count(
    diagnostic: str, status: str, expected: BounceKind
) -> None:
    said = judged(reports.postfix(RETURNS_TO, ADDRESS, status="5.0.0", diagnostic=diagnostic))

    assert isinstance(said, Bounce)
    assert (said.status, said.kind) == (status, expected)


@pytest.mark.parametrize("action", ["delayed", "delivered", "relayed", "expanded", "Delayed (will try again)"])
def test_r21_what_has_not_failed_is_no_failure(action: str) -> None:
    assert kind(reports.postfix(RETURNS_TO, ADDRESS, status="4.4.1", action=action)) is Ignored.NO_FAILURE


def test_r21_a_mail_that_went_on_to_several_failed_if_it_failed_for_all() -> None:
    def forwarded(*fates: str) -> BounceKind | Ignored:
        one = reports.postfix(RETURNS_TO, ADDRESS).message
        group = one[
            one.index(b"Final-Recipient") : one.index(
                b"\r\n--4F5A61C0D3.1768294800/mx.rollcall.example\r\nContent-Description: Undel"
            )
        ]
        groups = [
            group.replace(b"Action: failed", f"Action: {fate.split()[0]}".encode()).replace(
                b"Status: 5.1.1", f"Status: {fate.split()[1]}".encode()
            )
            for fate in fates
        ]
        return kind(Came(one.replace(group, b"\r\n".join(groups))))

    assert forwarded("failed 5.1.1", "failed 5.2.1") is BounceKind.HARD
    assert forwarded("failed 5.1.1", "failed 5.2.2") is BounceKind.SOFT
    assert forwarded("failed 5.1.1", "delivered 2.0.0") is Ignored.NO_FAILURE
    assert forwarded("expanded 2.0.0", "failed 5.1.1") is Ignored.NO_FAILURE


@pytest.mark.parametrize(
    ("feedback", "expected"),
    [
        ("abuse", BounceKind.COMPLAINT),
        ("Fraud", BounceKind.COMPLAINT),
        ("opt-out", BounceKind.COMPLAINT),
        ("not-spam", Ignored.OTHER_FEEDBACK),
        ("auth-failure", Ignored.OTHER_FEEDBACK),
        ("virus", Ignored.OTHER_FEEDBACK),
        ("", Ignored.OTHER_FEEDBACK),
    ],
)
def test_a_complaint_is_told_from_other_feedback(feedback: str, expected: BounceKind | Ignored) -> None:
    assert kind(reports.complaint(RETURNS_TO, ADDRESS, feedback=feedback)) is expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("550 #5.1.1 sorry, no mailbox here by that name", BounceKind.HARD),
        ("Remote host said: 552 5.2.2 mailbox full", BounceKind.SOFT),
        ("Remote host said: 554 5.7.1 we do not like you", BounceKind.BLOCKED),
    ],
)
def test_r21_prose_is_judged_as_a_status_is(said: str, expected: BounceKind) -> None:
    assert kind(reports.qmail(RETURNS_TO, ADDRESS, said=said)) is expected


def test_r21_prose_that_somebody_signed_is_no_bounce() -> None:
    came = reports.qmail(RETURNS_TO, ADDRESS)

    assert kind(Came(came.message, "jan@school.example")) is Ignored.NO_REPORT


@pytest.mark.parametrize("sender", ["", "jan@school.example"])
def test_r21_who_is_on_holiday_has_not_bounced(sender: str) -> None:
    assert kind(reports.out_of_office(RETURNS_TO, ADDRESS, sender=sender)) is Ignored.AUTO_REPLY


def test_what_is_kept_of_a_diagnostic_names_nobody() -> None:
    said = judged(
        reports.postfix(
            RETURNS_TO,
            "jan.de.vries@school.example",
            diagnostic="smtp; 550 5.1.1 <boss@elsewhere.example>: jan.DE.vries\x07 and “secret@other.example” unknown "
            + "x" * 5000,
        )
    )

    assert isinstance(said, Bounce)
    assert said.diagnostic is not None
    assert said.diagnostic.startswith("smtp; 550 5.1.1 <…>: …  and ")
    assert not [name for name in ("@", "boss", "vries", "secret", "\x07") if name in said.diagnostic]
    assert len(said.diagnostic) <= LONGEST_DIAGNOSTIC


kinds = st.lists(st.sampled_from([None, *BounceKind]), max_size=20)


@given(kinds)
def test_r21_five_in_a_row_are_five_with_nothing_delivered_between(history: list[BounceKind | None]) -> None:
    letters = "".join(
        "x" if kind in {BounceKind.SOFT, BounceKind.HARD} else "." for kind in history if kind is not BounceKind.BLOCKED
    )

    assert in_a_row(history) == ("x" * SOFT_IN_A_ROW in letters)


SOFT, HARD, BLOCKED = BounceKind.SOFT, BounceKind.HARD, BounceKind.BLOCKED


@pytest.mark.parametrize(
    ("history", "suppresses"),
    [
        ([SOFT] * 5, True),
        ([SOFT, HARD, SOFT, HARD, SOFT], True),
        ([SOFT, SOFT, BLOCKED, SOFT, SOFT, SOFT], True),
        ([SOFT] * 4, False),
        ([SOFT] * 4 + [None] + [SOFT] * 4, False),
        ([SOFT] * 4 + [BounceKind.COMPLAINT, SOFT], False),
        ([BLOCKED] * 5, False),
        ([None] * 5, False),
    ],
)
def test_r21_what_is_in_a_row(history: list[BounceKind | None], suppresses: bool) -> None:
    assert in_a_row(history) is suppresses


#: A recipient whose mail failed; a mail system that writes for people, and what it writes.
FAILED = Fate("failed", "5.1.1", "")
DAEMON = {"from": "MAILER-DAEMON@mx.example"}
NO_SUCH_USER = "550 5.1.1 no such user"


def given_back(*fates: Fate, prose: str = "", sender: str = "", **headers: str) -> Bounce | Ignored:
    """What is judged of a report that says this, its headers in the words of Python."""
    named = {name.replace("_", "-").rstrip("-"): said for name, said in headers.items()}
    return judge(BounceReport(fates, prose=prose, headers=named), null_sender=not sender)


def kind_of(said: Bounce | Ignored) -> BounceKind | Ignored:
    return said if isinstance(said, Ignored) else said.kind


class TestWhoAnswers:
    """A machine that answers for a person is told from one that reports."""

    def test_a_mail_that_a_provider_returns_with_a_complaint_is_one(self) -> None:
        headers = {"subject": "complaint about message from 192.0.2.1"}

        assert judge(BounceReport(returned=True, headers=headers), null_sender=True) == Bounce(BounceKind.COMPLAINT)

    def test_a_receipt_is_an_answer_whoever_sends_it(self) -> None:
        receipt = BounceReport(receipt=True, headers=DAEMON, prose=NO_SUCH_USER)

        assert judge(receipt, null_sender=True) is Ignored.AUTO_REPLY

    def test_who_is_on_holiday_says_so_also_beside_a_fate(self) -> None:
        assert given_back(FAILED, auto_submitted="auto-generated (vacation)") is Ignored.AUTO_REPLY

    def test_a_subject_like_an_answers_does_not_undo_a_fate(self) -> None:
        assert kind_of(given_back(FAILED, subject="Out of office: hello")) is HARD

    @pytest.mark.parametrize(
        ("fates", "said"),
        [
            ((FAILED,), {"content_type": "multipart/report; boundary=b", "from_": "jan@school.example"}),
            ((), {"x_failed_recipients": "jan@school.example", "prose": NO_SUCH_USER}),
            ((), {"x_ms_exchange_message_is_ndr": "", "subject": "Undeliverable: hello", "prose": NO_SUCH_USER}),
            ((), {"from_": DAEMON["from"], "prose": NO_SUCH_USER}),
        ],
    )
    def test_r21_what_a_mail_system_marks_as_an_answer_is_a_report_all_the_same(
        self, fates: tuple[Fate, ...], said: dict[str, str]
    ) -> None:
        assert kind_of(given_back(*fates, auto_submitted="auto-replied", **said)) is HARD

    @pytest.mark.parametrize(
        "said",
        [
            {"x_failed_recipients": "jan@school.example", "prose": NO_SUCH_USER},
            {"subject": "Undelivered Mail", "prose": NO_SUCH_USER},
            {"from_": "postmaster@mx.example", "prose": NO_SUCH_USER},
            {"prose": f"Hi. This is the qmail-send program.\n{NO_SUCH_USER}"},
        ],
    )
    def test_r21_a_mail_system_is_known_by_any_of_four_signs(self, said: dict[str, str]) -> None:
        assert kind_of(given_back(**said)) is HARD

    def test_what_no_mail_system_wrote_is_an_answer_if_a_machine_says_so(self) -> None:
        assert (
            given_back(prose="hello", sender="jan@school.example", auto_submitted="auto-generated")
            is Ignored.AUTO_REPLY
        )
        assert given_back(prose="hello", sender="jan@school.example") is Ignored.NO_REPORT
        assert given_back(prose="hello") is Ignored.AUTO_REPLY


@pytest.mark.parametrize(
    ("fate", "expected"),
    [
        (Fate("", "5.1.1", ""), Bounce(HARD, "5.1.1")),
        (Fate("", "4.4.1", ""), Ignored.NO_FAILURE),
        (Fate("failed", "5.1.1", "550 5.7.1 no"), Bounce(BLOCKED, "5.1.1", "550 5.7.1 no")),
        (Fate("failed", "5.0.0", "550 5.7.1 no"), Bounce(BLOCKED, "5.7.1", "550 5.7.1 no")),
        (Fate("failed", "", "550 5.1.1 no"), Bounce(HARD, "5.1.1", "550 5.1.1 no")),
        (Fate("failed", "4.1.1", "550 no such user"), Bounce(SOFT, "4.1.1", "550 no such user")),
        (Fate("failed", "5.1.1", "450 no such user"), Bounce(SOFT, "5.1.1", "450 no such user")),
    ],
)
def test_r21_what_a_fate_means(fate: Fate, expected: Bounce | Ignored) -> None:
    assert given_back(fate) == expected


@pytest.mark.parametrize(
    ("prose", "expected"),
    [
        ("5.1.1 no such user. giving up", Bounce(HARD, "5.1.1")),
        ("450 no such user", Bounce(SOFT)),
        ("550 no such user. giving up", Bounce(HARD)),
        ("no such user: retry time expired", Bounce(SOFT)),
        ("no such user", Bounce(HARD)),
        ("mailbox full\n\n550 no such user", Bounce(HARD)),
        ("mailbox full\n\n5.1.1 no such user", Bounce(HARD, "5.1.1")),
        ("mailbox full\n550 no such user", Bounce(SOFT)),
    ],
)
def test_r21_what_is_written_for_people_means(prose: str, expected: Bounce) -> None:
    assert given_back(prose=prose, from_=DAEMON["from"]) == expected


@pytest.mark.parametrize(
    ("diagnostic", "kept"),
    [
        ("bob or abobby?", "… or …?"),
        ("al or Ann?", "al or …?"),
        ("what\udcff", "what?"),
    ],
)
def test_r31_the_longest_name_goes_first_and_short_ones_stay(diagnostic: str, kept: str) -> None:
    recipients = ("bob@x.example", "abobby@x.example", "al@x.example", "ann@x.example")
    said = given_back(Fate("failed", "5.1.1", diagnostic, recipients))

    assert isinstance(said, Bounce)
    assert said.diagnostic == kept


class TestAnyBytes:
    """Whoever knows an address of ours can send anything there."""

    @given(st.binary(max_size=3000), st.booleans())
    def test_random_bytes(self, message: bytes, null_sender: bool) -> None:
        judge(read(message), null_sender=null_sender)

    @given(st.data())
    def test_reports_that_were_mangled(self, data: st.DataObject) -> None:
        whole = data.draw(st.sampled_from([make(RETURNS_TO, ADDRESS).message for make in reports.ALL]))
        cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), min_size=2, max_size=6)))
        pieces = [whole[low:high] for low, high in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
        mixed = data.draw(st.permutations(pieces))
        noise = data.draw(st.binary(max_size=20))

        said = judge(read(noise.join(mixed)), null_sender=True)

        assert isinstance(said, Bounce | Ignored)

    @given(st.binary(max_size=200), st.sampled_from(["base64", "quoted-printable", "8bit", "x-odd"]))
    def test_a_status_in_any_encoding(self, body: bytes, encoding: str) -> None:
        head = f"Content-Type: message/delivery-status\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n".encode()
        said = judge(read(head + body), null_sender=True)

        if isinstance(said, Bounce) and said.diagnostic is not None:
            said.diagnostic.encode()

    def test_a_status_in_base64_is_read(self) -> None:
        head = b"Content-Type: message/delivery-status\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        body = b"QWN0aW9uOiBmYWlsZWQNClN0YXR1czogNS4xLjENCg==\r\n"

        assert judge(read(head + body), null_sender=True) == Bounce(BounceKind.HARD, "5.1.1")

    def test_parts_within_parts_without_end(self) -> None:
        level = 'Content-Type: multipart/mixed; boundary="b{0}"\r\n\r\n--b{0}\r\n'
        deep = "".join(level.format(depth) for depth in range(5000)).encode()

        assert judge(read(deep), null_sender=True) is Ignored.AUTO_REPLY

    def test_a_thousand_parts(self) -> None:
        head = b"Content-Type: multipart/report; boundary=b\r\n\r\n"
        part = b"--b\r\nContent-Type: message/delivery-status\r\n\r\n\r\nAction: delayed\r\n\r\n"

        assert judge(read(head + part * 1000), null_sender=True) is Ignored.NO_FAILURE

    @pytest.mark.parametrize("unit", [b"a", b"a:", b"\r\n", b"\r\n ", b"@", b"5.", b"550 5.", b"--b\r\n", b"=", b" \t"])
    def test_the_time_it_takes_does_not_grow_with_the_square(self, unit: bytes) -> None:
        long = unit * (128 * 1024 // len(unit))
        said = b"Action: failed\r\nStatus: 5.0.0\r\nFinal-Recipient: rfc822; " + long + b"\r\nDiagnostic-Code: " + long
        head = b"Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n"

        began = time.process_time()
        for message in (long, head + said, b"Content-Type: text/plain; boundary=" + long, b"Subject: x\r\n\r\n" + long):
            judge(read(message), null_sender=True)

        assert time.process_time() - began < 2
