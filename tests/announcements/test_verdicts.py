"""A message is judged once, before anybody waits for it, and its verdict is kept for a while: R31."""

from collections import OrderedDict

import pytest

from tasks.announcements import check_message, intake
from tasks.events import AnnouncementRequested, Audience


def test_r31_a_message_is_judged_once_for_each_organisation_and_the_oldest_verdict_goes_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judged: list[str] = []

    def counted(subject: str, body: str, name: str) -> None:
        judged.append(name)
        check_message(subject, body, name)

    monkeypatch.setattr(intake, "check_message", counted)
    monkeypatch.setattr(intake, "KEPT_VERDICTS", 2)
    monkeypatch.setattr(intake, "_verdicts", OrderedDict())
    good, bad = (
        AnnouncementRequested("news", "News", body, Audience(everyone=True)) for body in ("Hi", "Hi {{ you }}")
    )

    assert intake.fault_of(good, "acme", "Acme") is None
    faults = [intake.fault_of(bad, "acme", "Acme") for _ in range(2)]
    assert "{{ you }}" in str(faults[0])
    assert (faults[0], judged) == (faults[1], ["Acme", "Acme"])
    assert not intake.is_judged(good, "globex")
    assert intake.fault_of(good, "globex", "Globex") is None

    kept = [intake.is_judged(data, id_) for data, id_ in ((good, "acme"), (bad, "acme"), (good, "globex"))]
    assert (kept, judged) == ([False, True, True], ["Acme", "Acme", "Globex"])
