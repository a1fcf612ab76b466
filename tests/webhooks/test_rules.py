"""Where a webhook may lead, and what follows from an answer."""

from datetime import UTC, datetime, timedelta

import pytest

from tasks.webhooks.rules import (
    KEPT_CHARACTERS,
    LONGEST_DATE,
    LONGEST_URL,
    Answer,
    BadUrl,
    Because,
    Problem,
    WebhookFailures,
    after_failure,
    bad_types,
    is_forbidden,
    is_public,
    judged,
    patience,
    said,
    target,
)

NOW = datetime(2026, 1, 10, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.1",
        "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0",
        "fc00::1", "fd12:3456::1", "fec0::1", "ff02::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "64:ff9b::a00:1",
        "2002:a00:1::", "2002:7f00:1::1", "2001:db8::1", "2001:0:53aa:64c:0:0:f5ff:fffe", "4000::1",
    ],
)  # fmt: skip
def test_no_webhook_reaches_this_machine_or_a_private_network(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f::1", "::ffff:93.184.215.14", "64:ff9b::5db8:d70e"])
def test_a_webhook_reaches_what_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/", "ftp://example.org/", "https://", "example.org", "https://user:pass@example.org/",
        "https://user@example.org/", "https://example.org/#part", "https://example.org:0/", "https://example.org:x/",
        "https://exa mple.org/", "https://example.org/a b", "https://example.org/\r\nx: y", "https://exämple.org/",
        f"https://{'a' * 64}.example.org/", "https://[::1/", f"https://example.org/{'a' * 2000}",
        "http://10.0.0.1/", "https://a..b/", "ftp://127.0.0.1/", "https://example.org/#", "https://example.org/?a#b",
    ],
)  # fmt: skip
def test_a_url_that_events_may_not_go_to_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(BadUrl) as refusal:
        target(url)

    assert "pass" not in str(refusal.value).replace("passwords", "")


def test_a_url_may_be_as_long_as_we_say() -> None:
    url = "https://example.org/".ljust(LONGEST_URL, "a")

    assert len(target(url).path) == len(url) - len("https://example.org")
    with pytest.raises(BadUrl):
        target(url + "a")


@pytest.mark.parametrize(
    ("url", "port", "authority"),
    [
        ("http://127.0.0.1/", 80, "127.0.0.1"),
        ("http://127.0.0.1:80/", 80, "127.0.0.1"),
        ("http://127.0.0.1:443/", 443, "127.0.0.1:443"),
        ("https://example.org:443/", 443, "example.org"),
        ("https://example.org:80/", 80, "example.org:80"),
    ],
)
def test_a_port_is_named_unless_it_is_the_usual_one(url: str, port: int, authority: str) -> None:
    assert (target(url).port, target(url).authority) == (port, authority)


def test_a_url_is_taken_apart_as_http_needs_it() -> None:
    found = target("https://Hooks.Example.org/in?a=b")
    local = target("http://[::1]:8080")

    assert (found.encrypted, found.host, found.port, found.authority, found.path) == (
        True, "hooks.example.org", 443, "hooks.example.org", "/in?a=b",
    )  # fmt: skip
    assert (local.encrypted, local.host, local.port, local.authority, local.path) == (
        False, "::1", 8080, "[::1]:8080", "/",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("url", "forbidden"),
    [
        ("http://localhost:1/", True), ("https://127.0.0.1/", True), ("https://10.0.0.1/", True),
        ("https://[fd00::1]/", True), ("https://example.org/", False), ("https://93.184.215.14/", False),
    ],
)  # fmt: skip
def test_what_can_be_seen_of_a_url_is_judged_when_it_is_added(url: str, forbidden: bool) -> None:
    assert is_forbidden(target(url)) is forbidden


@pytest.mark.parametrize(
    ("status", "problem"),
    [
        (199, Problem.REFUSED), (200, None), (204, None), (299, None), (300, Problem.REDIRECTED),
        (301, Problem.REDIRECTED), (304, Problem.REDIRECTED), (399, Problem.REDIRECTED),
        (400, Problem.REFUSED), (404, Problem.REFUSED),
        (410, Problem.GONE), (500, Problem.REFUSED),
    ],
)  # fmt: skip
def test_a_status_is_taken_or_is_not(status: int, problem: Problem | None) -> None:
    assert judged(status) == problem


@pytest.mark.parametrize(
    ("status", "said_", "seconds"),
    [
        (429, "120", 120), (503, "0", 1), (503, "Sat, 10 Jan 2026 09:02:00 GMT", 120), (429, "9" * 5000, 3600),
        (429, "Sat, 10 Jan 2099 09:02:00 GMT", 3600), (429, "Sat, 10 Jan 2020 09:02:00 GMT", 1), (429, "soon", None),
        (429, "Sat, 10 Jan 99999999999 09:02:00 GMT", None),
        (503, "Sat, 10 Jan 2026 09:02:00", 120), (503, "Sat, 10 Jan 2026 10:02:00 +0100", 120),
        (503, "Sat, 10 Jan 2026 09:02:00 GMT".ljust(LONGEST_DATE), 120),
        (503, "Sat, 10 Jan 2026 09:02:00 GMT".ljust(LONGEST_DATE + 1), None),
        (429, "-5", None), (429, None, None), (500, "120", None), (200, "120", None),
    ],
)  # fmt: skip
def test_who_asks_for_patience_gets_it_within_bounds(status: int, said_: str | None, seconds: int | None) -> None:
    assert patience(status, said_, NOW) == (None if seconds is None else timedelta(seconds=seconds))


def test_pauses_double_to_an_hour_and_are_not_the_same_for_all() -> None:
    def pause(failures: int, chance: float, asked: timedelta | None = None) -> float:
        follows = after_failure(
            Answer(Problem.REFUSED, 500, retry_after=asked),
            WebhookFailures(failures, NOW),
            NOW,
            first=timedelta(seconds=30),
            longest=timedelta(days=1),
            chance=chance,
        )
        assert follows.failing == WebhookFailures(failures + 1, NOW)
        assert follows.disabled is None
        return follows.pause.total_seconds()

    assert [pause(failures, 0) for failures in (0, 1, 2, 10)] == [30, 60, 120, 3600]
    assert [pause(0, chance) for chance in (0.5, 1)] == [33.75, 37.5]
    assert pause(5, 0, timedelta(seconds=7)) == 7


@pytest.mark.parametrize(
    ("problem", "failures", "failing_for", "disabled"),
    [
        (Problem.REFUSED, 40, timedelta(hours=23), None),
        (Problem.REFUSED, 7, timedelta(hours=24), Because.FAILING),
        (Problem.UNREACHABLE, 40, timedelta(days=9), Because.FAILING),
        (Problem.UNREACHABLE, 6, timedelta(days=9), None),  # it was us who were away
        (Problem.GONE, 0, timedelta(0), Because.GONE),
    ],
)
def test_a_webhook_is_given_up_after_a_day_or_when_it_is_gone(
    problem: Problem, failures: int, failing_for: timedelta, disabled: Because | None
) -> None:
    follows = after_failure(
        Answer(problem),
        WebhookFailures(failures, NOW - failing_for),
        NOW,
        first=timedelta(seconds=30),
        longest=timedelta(days=1),
        chance=0,
    )

    assert follows.disabled == disabled


def test_the_first_failure_of_a_row_is_when_it_began() -> None:
    def since(before: WebhookFailures, longest: timedelta) -> tuple[datetime | None, Because | None]:
        answer = Answer(Problem.REFUSED)
        follows = after_failure(answer, before, NOW, first=timedelta(seconds=30), longest=longest, chance=0)
        return follows.failing.since, follows.disabled

    began = NOW - timedelta(hours=1)
    assert since(WebhookFailures(), timedelta(days=1)) == (NOW, None)
    assert since(WebhookFailures(3, began), timedelta(days=1)) == (began, None)
    assert since(WebhookFailures(40), timedelta(0)) == (NOW, Because.FAILING)


def test_types_that_no_event_has_are_told() -> None:
    assert bad_types([]) == []
    assert bad_types(["rollcall.seat.consumed", "seat.consumed", "platform.course.started"]) == [
        "seat.consumed",
        "platform.course.started",
    ]


def test_what_was_said_is_kept_short_and_on_one_line() -> None:
    assert said(b"a\r\n\x1b[31mb \xff" + b"x" * 100_000) == "a [31mb �" + "x" * 191
    assert said(b" " * 4 * KEPT_CHARACTERS + b"x") == "", "what stands far behind is not read"
