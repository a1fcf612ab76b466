"""What the demo calls a bug: counts that do not add up where nobody else has worked."""

import json
import os
from pathlib import Path

import pytest

from config import services
from tasks.acts.acting import perform
from tasks.acts.learners import LearnerToggle, deactivate
from tests.accounts.test_signing_in import ROOT
from tests.world import World
from workers.commands import demo
from workers.commands.demo import Chapter, Sum, result_of

SHORT = [Chapter("Notices", "Each got one mail.", [Sum("notices", 3, {"accepted": 2})])]


def test_counts_that_do_not_add_up_are_a_bug_only_if_nothing_else_was_done() -> None:
    assert result_of(SHORT, alone=True).is_wrong
    assert not result_of(SHORT, alone=False).is_wrong
    assert not result_of([], alone=True).is_wrong


def test_other_work_is_named_in_plain_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    demo._print_account(result_of(SHORT, alone=False), tmp_path, None)
    said = capsys.readouterr().out
    assert "≠ 3 notices = 2 accepted" in said
    assert "Other work was done here besides this run." in said
    assert f"ROLLCALL_HOME={tmp_path}/alone " in said

    demo._print_account(result_of(SHORT, alone=True), tmp_path, None)
    said = capsys.readouterr().out
    assert "✗ 3 notices = 2 accepted" in said
    assert "Other work" not in said


def test_rollcall_up_runs_if_the_process_that_it_wrote_down_is_there_and_is_no_later_one(tmp_path: Path) -> None:
    written = tmp_path / "services.json"
    assert not services.is_up(tmp_path)
    for text in ("", "[]", '{"pids": {}}', '{"pids": {"rollcall": "x"}}', '{"pids": {"rollcall": 999999999}}'):
        written.write_text(text)
        assert not services.is_up(tmp_path)

    written.write_text(json.dumps({"pids": {"rollcall": os.getpid()}}))
    assert services.is_up(tmp_path)
    services.forget_services(tmp_path)
    assert not written.exists()
    written.write_text(json.dumps({"pids": {"rollcall": os.getppid()}}))
    services.forget_services(tmp_path)
    assert written.exists(), "another `rollcall up` wrote it since"
    os.utime(written, (1, 1))
    assert not services.is_up(tmp_path), "this process began long after it"


def test_a_run_is_alone_if_only_its_events_came_and_nobody_worked(world: World) -> None:
    before = demo.events_known(world.runtime)
    world.send(*demo.SAMPLE.read_bytes().splitlines())
    stored = demo.events_known(world.runtime) - before

    assert demo._is_alone(world.runtime, 0, stored)
    assert not demo._is_alone(world.runtime, stored, 0), "the demo ran before"
    assert not demo._is_alone(world.runtime, 0, stored + 1), "another event came meanwhile"
    perform(world.runtime, ROOT, deactivate, LearnerToggle("L0001"), "aurora")
    assert not demo._is_alone(world.runtime, 0, stored), "somebody made a learner inactive"
