"""The wheel: built, installed where no checkout is, and run."""

import json
import site
import subprocess
import sys
import tomllib
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import copytree, ignore_patterns

import pytest

from workers.supervisor import ProcessKind

#: The wheel is built, and what it installs is run.
pytestmark = pytest.mark.serves

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

#: The folders that the wheel is made of.
FOLDERS = [name.rstrip("*") for name in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]]

#: Seconds after which a command counts as hanging.
PATIENCE = 100

PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input"]


@dataclass(frozen=True, slots=True)
class Installed:
    """The wheel in an environment of its own, and an empty folder to run it in."""

    wheel: Path
    environment: Path
    folder: Path

    @property
    def env(self) -> dict[str, str]:
        return {"PATH": f"{self.environment / 'bin'}:/usr/bin:/bin", "HOME": str(self.folder), "COLUMNS": "200"}

    def start(self, *words: str) -> "subprocess.Popen[str]":
        command = [str(self.environment / "bin" / "rollcall"), *words]
        return subprocess.Popen(
            command, cwd=self.folder, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def run(self, *words: str) -> tuple[int, str]:
        """A command's exit code, and what it says."""
        process = self.start(*words)
        said, _ = process.communicate(timeout=PATIENCE)
        return process.returncode, said


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Nothing is fetched: the environment has the packages of this one, and Rollcall from the wheel alone."""
    folder = tmp_path_factory.mktemp("packaging")
    source = folder / "source"
    for name in FOLDERS:
        copytree(ROOT / name, source / name, ignore=ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", PROJECT["project"]["readme"]):
        (source / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run(
        [*PIP, "wheel", "--no-build-isolation", "--no-deps", "--no-index", "--wheel-dir", folder, source], check=True
    )
    (wheel,) = folder.glob("rollcall-*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    (packages,) = (folder / "venv" / "lib").glob("python*/site-packages")
    (packages / "shared.pth").write_text("\n".join(site.getsitepackages()), encoding="utf-8")
    python = str(folder / "venv" / "bin" / "python")
    subprocess.run(
        [*PIP, "--python", python, "install", "--no-deps", "--no-index", "--no-compile", "--ignore-installed", wheel],
        check=True,
    )
    (folder / "empty").mkdir()
    return Installed(wheel, folder / "venv", folder / "empty")


def test_all_that_stands_in_the_folders_of_the_product_is_in_the_wheel(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as wheel:
        packed = set(wheel.namelist())
    kept = {
        str(file.relative_to(ROOT))
        for name in FOLDERS
        for file in (ROOT / name).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }

    assert {file for file in packed if ".dist-info/" not in file} == kept
    assert {"workers/Procfile", "workers/outline.json", "samples/demo.jsonl"} < packed


def test_an_installed_rollcall_says_its_version_wherever_it_is_called(installed: Installed) -> None:
    version = PROJECT["project"]["version"]

    assert installed.run("--version") == (0, f"rollcall {version}\n")
    assert installed.wheel.name == f"rollcall-{version}-py3-none-any.whl"
    assert installed.wheel.name in (ROOT / "docs" / "guides" / "operator.md").read_text(encoding="utf-8")


def test_an_installed_rollcall_runs_its_own_procfile_and_its_own_code_in_a_folder_of_another_program(
    installed: Installed,
) -> None:
    another = replace(installed, folder=installed.folder.with_name("another"))
    another.folder.mkdir()
    (another.folder / "Procfile").write_text("web: another-program\n")
    for name in FOLDERS:
        (another.folder / f"{name}.py").write_text("raise SystemExit('this is another program')\n")

    unnamed = another.run("up", "--scale", "none=1")
    named = another.run("up", "--scale", "none=1", "--procfile", "Procfile")
    process = subprocess.run(
        [another.environment / "bin" / "python", *ProcessKind("web", "rollcall --version").argv[1:]],
        cwd=another.folder, env=another.env, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert unnamed[0] == named[0] == 2
    assert "The Procfile in this folder is not used" in unnamed[1]
    assert "it has ingress, relay" in unnamed[1]
    assert "it has web." in named[1]
    assert process.stdout.startswith("rollcall "), process.stderr


@pytest.mark.slow
def test_an_installed_rollcall_works_in_an_empty_folder_to_the_end(installed: Installed) -> None:
    events = (ROOT / "samples" / "demo.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    learner = next(number for number, event in enumerate(events) if '"platform.learner.saved"' in event)
    (installed.folder / "events.jsonl").write_text("".join(events[: learner + 1]), encoding="utf-8")
    data = json.loads(events[learner])["data"]

    assert installed.run("migrate")[0] == 0
    up = installed.start("up")
    try:
        assert up.stdout is not None
        assert any("ready: " in line for line in up.stdout)
        published = installed.run("events", "publish", "events.jsonl")
        rested = installed.run("wait")
        shown = installed.run("learners", "show", "--organisation", "aurora", data["learner"], "--json")
    finally:
        up.terminate()
        up.communicate(timeout=PATIENCE)

    assert (published[0], rested) == (0, (0, "At rest.\n"))
    assert shown[0] == 0
    assert data["email"] in shown[1]
    assert up.returncode == 0
