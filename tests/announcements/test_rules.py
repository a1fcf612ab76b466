"""What may be said, when it goes, and that the counts add up: R16, R18, R20."""

from datetime import UTC, datetime, timedelta

import pytest

from tasks.announcements.rules import (
    LARGEST_BODY,
    LONGEST_SUBJECT,
    MOST_FAULTS,
    BadMessage,
    BadSchedule,
    Fault,
    Progress,
    check_message,
    faults,
    local_time,
    moment_of,
    pace,
    progress,
)
from tasks.mail import MailingChange, Tally


@pytest.mark.parametrize(
    ("subject", "body", "why"),
    [
        ("", "Hello.", "The subject is empty."),
        (" \t", "Hello.", "The subject is empty."),
        ("a\nb", "Hello.", "The subject must be one line, without line breaks or control characters."),
        ("a\u2028b", "Hello.", "The subject must be one line, without line breaks or control characters."),
        ("s" * (LONGEST_SUBJECT + 1), "Hello.", "The subject has 999 characters; it may have 998."),
        ("News", "", "The body is empty."),
        ("News", " \n ", "The body is empty."),
        ("News", "a\0b", "The body contains the character NUL, which no text may."),
        ("News", "a\ud800b", "The subject and the body must be text in UTF-8."),
        ("a\ud800b", "Hello.", "The subject and the body must be text in UTF-8."),
        (
            "News",
            "é" * (LARGEST_BODY // 2) + "a",
            "The body is 262145 bytes large; it may be 262144. Link to what is long.",
        ),
    ],
)
def test_a_message_that_no_mail_could_say_is_refused(subject: str, body: str, why: str) -> None:
    with pytest.raises(BadMessage) as refused:
        check_message(subject, body, "Acme")

    assert str(refused.value) == why


def test_a_field_that_does_not_exist_is_refused() -> None:
    with pytest.raises(BadMessage, match="nickname"):
        check_message("News", "Hello {{ nickname }}.", "Acme")


@pytest.mark.parametrize(
    ("subject", "body", "part", "line"),
    [
        ("", "Hello.", "subject", None),
        ("News", "", "body", None),
        ("{{ nickname }}", "Hello.", "subject", None),
        ("News", "Hello,\n{{ nickname }}.", "body", 2),
    ],
)
def test_whoever_is_refused_a_message_is_told_which_part_is_wrong(
    subject: str, body: str, part: str, line: int | None
) -> None:
    with pytest.raises(BadMessage) as refused:
        check_message(subject, body, "Acme")

    assert (refused.value.part, refused.value.line) == (part, line)
    assert faults(subject, body, "Acme") == [Fault(part, line, str(refused.value))]


def test_all_mistakes_in_merge_fields_are_named_before_any_other() -> None:
    found = faults("{{ nickname }}\n", "{{ pet }}\n{{ car }}", "Acme")

    assert [(one.part, one.line) for one in found] == [("subject", None), ("body", 1), ("body", 2)]
    assert [one.says.partition(":")[0] for one in found] == ["Subject", "Line 1", "Line 2"]
    assert faults("News", "Hello {{ first_name }}.", "Acme") == []


def test_so_many_mistakes_are_named_at_most() -> None:
    many = "{{ nickname }}" * (MOST_FAULTS - 1)

    assert len(faults(many, many, "Acme")) == MOST_FAULTS


@pytest.mark.parametrize(("subject", "body"), [("s" * LONGEST_SUBJECT, "Hello."), ("News", "\n" + "a" * 1000)])
def test_what_can_be_said_is_not_refused(subject: str, body: str) -> None:
    check_message(subject, body, "Acme")


def test_a_body_may_be_as_large_as_we_say() -> None:
    line = "a" * 8190 + "\n\n"
    check_message("News", line * (LARGEST_BODY // len(line)), "Acme")


@pytest.mark.parametrize(
    ("send_at", "zone", "moment"),
    [
        ("2026-12-01T09:00:00", "Europe/Amsterdam", "2026-12-01T08:00:00"),
        ("2026-12-01T09:00:00+05:00", "Europe/Amsterdam", "2026-12-01T04:00:00"),
        ("2026-10-25T02:30:00+02:00", "Europe/Amsterdam", "2026-10-25T00:30:00"),
        ("2026-07-01T09:00:00", "UTC", "2026-07-01T09:00:00"),
    ],
)
def test_r20_a_time_without_an_offset_is_on_the_clocks_of_its_zone(send_at: str, zone: str, moment: str) -> None:
    found = moment_of(datetime.fromisoformat(send_at), zone)

    assert found == datetime.fromisoformat(moment).replace(tzinfo=UTC)
    assert found.tzinfo is UTC


@pytest.mark.parametrize(
    ("send_at", "zone", "why"),
    [
        (
            "2026-10-25T02:30:00",
            "Europe/Amsterdam",
            (
                "2026-10-25T02:30 happens twice in Europe/Amsterdam, where clocks go back: write 2026-10-25T02:30+02:00"
                " for the first time or 2026-10-25T02:30+01:00 for the second."
            ),
        ),
        (
            "2026-03-29T02:30:15",
            "Europe/Amsterdam",
            (
                "2026-03-29T02:30:15 does not exist in Europe/Amsterdam, where clocks go forward: write"
                " 2026-03-29T03:30:15, or another time."
            ),
        ),
        (
            "2026-07-01T09:00:00",
            "Mars/Olympus",
            "There is no time zone 'Mars/Olympus'; write an IANA name, such as Europe/Amsterdam.",
        ),
    ],
)
def test_r20_a_time_that_no_clock_shows_once_is_not_guessed_at(send_at: str, zone: str, why: str) -> None:
    with pytest.raises(BadSchedule) as refused:
        moment_of(datetime.fromisoformat(send_at), zone)

    assert str(refused.value) == why


def test_an_instant_is_shown_on_the_clocks_of_a_zone() -> None:
    moment = datetime(2026, 12, 1, 8, 0, 30, tzinfo=UTC)

    assert local_time(moment, "Europe/Amsterdam") == "2026-12-01 09:00 Europe/Amsterdam"
    assert local_time(moment, None) == "2026-12-01 08:00 UTC"


def test_r18_the_counts_of_an_announcement_add_up() -> None:
    said = [
        ("accepted", None, 5), ("accepted", "told anew", 2), ("skipped", "inactive", 3), ("skipped", "no address", 1),
        ("skipped", None, 9), ("failed", "refused", 4), ("cancelled", "cancelled", 6), ("uncertain", "ambiguous", 7),
        ("pending", None, 8),
    ]  # fmt: skip

    found = progress("news", "sending", [Tally(1, *one) for one in said])

    skipped = {"inactive": 3, "no address": 1, "unknown": 9}
    assert found == Progress("news", "sending", 45, 7, skipped, 4, 6, 7, 8)
    assert progress("news", "finished", []) == Progress("news", "finished")


def test_r20_the_pace_is_that_of_the_time_in_which_it_was_sent() -> None:
    began = datetime(2026, 1, 1, tzinfo=UTC)

    def change(second: int, move: str, before: str | None, after: str) -> MailingChange:
        return MailingChange(began + timedelta(seconds=second), move, before, after, "Ada")

    history = [
        change(0, "create", None, "draft"),
        change(100, "launch", "draft", "sending"),
        change(110, "pause", "sending", "paused"),
        change(500, "resume", "paused", "sending"),
    ]

    assert pace(history, 60, began + timedelta(seconds=520)) == 2.0
    assert pace(history[:3], 60, began + timedelta(seconds=520)) == 6.0
    assert pace(history[:2], 6, began + timedelta(seconds=100.5)) == 12.0
    assert pace(history[:2], 6, began + timedelta(seconds=100)) is None, "it has only just begun"
    assert pace(history[:1], 0, began + timedelta(seconds=520)) is None
    assert pace(history, 0, began + timedelta(seconds=520)) is None
