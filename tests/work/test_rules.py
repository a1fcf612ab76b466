"""How long work rests before it is tried again: R33."""

from datetime import timedelta

import pytest

from tasks.work.rules import EVERYBODY, FUSE_FAILURES, LONGEST_PAUSE, Fuses, pause_before

SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(("failures", "seconds"), [(0, 10), (1, 20), (3, 80), (8, 2560), (9, 3600), (10**6, 3600)])
def test_r33_a_pause_doubles_with_each_failure_up_to_an_hour(failures: int, seconds: int) -> None:
    assert pause_before(failures, 10 * SECOND) == seconds * SECOND <= LONGEST_PAUSE


def test_r31_a_fuse_opens_for_all_only_if_it_is_about_several_organisations() -> None:
    fuses = Fuses()
    opened = [fuses.failed("mail.deliver", organisation, n) for n, organisation in enumerate([1, 2, 3] * 4)]
    assert [n for n, whose in enumerate(opened) if whose == EVERYBODY] == [FUSE_FAILURES - 1]

    fuses = Fuses()
    assert [fuses.failed("mail.deliver", 7, n) for n in range(FUSE_FAILURES)] == [None] * (FUSE_FAILURES - 1) + [7]
    assert fuses.failed("mail.deliver", 7, FUSE_FAILURES) is None, "it has opened, and that is one failure since"
    assert {fuses.failed("mail.deliver", 8, 1) for _ in range(30)} == {None}, "of one piece, that one is to blame"


def test_a_fuse_stays_closed_as_long_as_its_kind_of_work_succeeds() -> None:
    fuses = Fuses()
    for n in range(100):
        if n % 5 == 0:
            fuses.succeeded("mail.deliver", 1)
        assert fuses.failed("mail.deliver", 1, n) is None
        assert fuses.failed("imports.run", n, n) != 1
    for n in range(FUSE_FAILURES * 2):
        fuses.succeeded("mail.deliver", 2)
        last = fuses.failed("mail.deliver", 1, n)
        if last is not None:
            break
    assert last == 1, "others succeed, and this organisation never does"


def test_what_succeeds_for_one_organisation_is_not_broken_for_all() -> None:
    fuses = Fuses()
    for n in range(FUSE_FAILURES - 1):
        fuses.failed("mail.deliver", n, n)
    fuses.succeeded("mail.deliver", 100)

    assert fuses.failed("mail.deliver", 101, 101) is None


def test_r31_only_the_last_failures_decide_whom_a_fuse_opens_for() -> None:
    fuses = Fuses()
    assert {fuses.failed("mail.deliver", 1, 7) for _ in range(FUSE_FAILURES * 2)} == {None}, "one piece is to blame"
    assert [fuses.failed("mail.deliver", 1, piece) for piece in (8, 9)] == [None, 1]
    assert [fuses.failed("mail.deliver", organisation, 7) for organisation in (2, 3)] == [None, EVERYBODY]


def test_the_failures_of_so_many_organisations_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.work.rules.MOST_REMEMBERED", 2)

    def opens(organisations: int) -> bool:
        """Whether the fuse of an organisation opens, though others fail, until there are so many."""
        fuses = Fuses()
        for n in range(FUSE_FAILURES - 1):
            fuses.failed("mail.deliver", 1, n)
        for other in range(2, organisations + 1):
            fuses.failed(f"of {other}", other, 0)
        return fuses.failed("mail.deliver", 1, 100) == 1

    assert [opens(organisations) for organisations in (1, 2, 3)] == [True, True, False]
