"""docs/guides/api.md, followed word for word: what its blocks print is what it says."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.accounts import Role
from tests.api.conftest import Served
from tests.api.python_client import make_client

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "api.md"
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$\n\n^```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)

RUNS = {"sh": ["/bin/sh", "-c"], "python": [sys.executable, "-c"]}


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_what_the_guide_does_prints_what_it_says(api: Served) -> None:
    api.world.has_learners("u1", "u2")
    api.world.has_course("fire")
    api.world.has_course("safety", "everyone")
    env = os.environ | {"ROLLCALL_URL": api.public_url, "ROLLCALL_TOKEN": str(api.client(Role.ADMIN).token)}
    env |= {"PYTHONPATH": str(make_client())}
    blocks = BLOCK.findall(PAGE.read_text(encoding="utf-8"))

    for language, script, says in blocks:
        done = subprocess.run(
            [*RUNS[language], script], env=env, capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.stderr, done.stdout.strip()) == ("", says.strip()), script

    assert len(blocks) == len(re.findall("^```(?:sh|python)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert {language for language, _, _ in blocks} == {*RUNS}
