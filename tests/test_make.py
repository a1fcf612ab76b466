"""What `make` installs: for the demo no development packages, and nothing without a hash; and when it refuses."""

import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import Distribution
from pathlib import Path

import pytest

from workers import dependencies

ROOT = Path(__file__).parents[1]

MAKE = shutil.which("make") or "make"

#: A requirement of a lock file: its name, and the lines that belong to it.
LOCKED = re.compile(r"^([a-z0-9][a-z0-9._-]*)==\S+((?: \\\n    --hash=sha256:[0-9a-f]{64})*)$", re.MULTILINE)


def locked(file: str) -> dict[str, int]:
    """How many hashes each package of a lock file has; nothing else stands in it."""
    text = re.sub(r"^#.*$", "", (ROOT / file).read_text(), flags=re.MULTILINE)
    assert LOCKED.sub("", text).strip() == ""
    return {name: hashes.count("--hash") for name, hashes in LOCKED.findall(text)}


def wanted(*extras: str) -> set[str]:
    """The packages that the project names itself, with these extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = project["dependencies"] + [line for extra in extras for line in project["optional-dependencies"][extra]]
    return {re.split(r"[^A-Za-z0-9._-]", line)[0].lower() for line in named}


def test_the_demo_installs_what_runs_and_all_of_it_has_a_hash() -> None:
    runs, develops = locked("constraints.txt"), locked("constraints-dev.txt")

    assert wanted("embedded", "build") <= runs.keys()
    assert not runs.keys() & (wanted("dev") - wanted())
    assert wanted("dev") <= develops.keys()
    assert 0 not in {*runs.values(), *develops.values()}


def test_what_runs_and_what_develops_it_are_locked_alike() -> None:
    pins = [dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", (ROOT / file).read_text(), re.MULTILINE))
            for file in ("constraints.txt", "constraints-dev.txt")]  # fmt: skip

    assert {name for name in pins[0].keys() & pins[1].keys() if pins[0][name] != pins[1][name]} == set()


@pytest.mark.serves
def test_make_fetches_nothing_that_has_no_hash() -> None:
    plan = subprocess.run(
        [MAKE, "--dry-run", "--always-make", "demo", "test"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    installs = [line for line in plan.splitlines() if "pip" in line and " install " in line]

    assert len(installs) == 3
    assert all(("--require-hashes" in line) != ("--no-index" in line) for line in installs)
    assert all("--no-build-isolation" in line for line in installs)


@pytest.mark.serves
@pytest.mark.parametrize("named", [[], ["PYTHON={old}"]], ids=["found", "named"])
def test_an_old_python_is_told_what_is_needed(tmp_path: Path, named: list[str]) -> None:
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && { echo Python 3.10.9; exit 0; }\nexit 1\n')
    old.chmod(0o755)
    for file in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / file, tmp_path)
    words = [word.format(old=old) for word in named]

    done = subprocess.run(
        [MAKE, "demo", *words], cwd=tmp_path, env={"PATH": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 2
    assert re.match("Rollcall needs 3.11 or newer, and .*python3 is Python 3.10.9: name another", done.stderr)
    assert not (tmp_path / ".venv").exists()


@pytest.mark.serves
def test_a_benchmark_needs_no_package_of_another() -> None:
    without = "import sys; sys.modules['celery'] = None; import bench.__main__ as all; all.idle.Size(seconds=1)"

    subprocess.run([sys.executable, "-c", without], check=True, timeout=60)


def test_the_page_of_dependencies_names_each_that_runs_and_its_licence() -> None:
    assert dependencies.PAGE.read_text(encoding="utf-8") == dependencies.page()


def test_a_package_that_names_no_licence_is_not_passed_over(tmp_path: Path) -> None:
    folder = tmp_path / "nameless-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: nameless\nVersion: 1\n")

    with pytest.raises(LookupError, match="nameless names no licence"):
        dependencies.licence_of(Distribution.at(folder))
