"""Every Python that Rollcall says it runs on can read it; `make pythons` checks the types and the packages for each."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

#: As the classifiers name them.
PYTHONS = re.findall(
    r"^Programming Language :: Python :: (3\.\d+)$", "\n".join(PROJECT["project"]["classifiers"]), re.M
)

#: What is in the wheel.
SOURCES = sorted(
    file
    for folder in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]
    for file in (ROOT / folder.rstrip("*")).rglob("*.py")
)

#: Modules of the standard library that 3.12 and 3.13 took away (PEP 594, PEP 632 and others).
GONE = (
    "aifc|asynchat|asyncore|audioop|cgi|cgitb|chunk|crypt|distutils|imghdr|imp|lib2to3|mailcap|msilib|nis|nntplib"
    "|ossaudiodev|pipes|smtpd|sndhdr|spwd|sunau|telnetlib|uu|xdrlib"
)

#: Compiles the files that are named on its input. A warning of the compiler is an error.
COMPILE = """
import sys
from pathlib import Path
for name in sys.stdin.read().split("\\0"):
    compile(Path(name).read_bytes(), name, "exec")
"""


def interpreter(version: str) -> str | None:
    """A Python of this version that is on the PATH, or that pyenv has, and that runs."""
    folders = [*os.get_exec_path(), *map(str, Path.home().glob(f".pyenv/versions/{version}.*/bin"))]
    for folder in folders:
        found = shutil.which(f"python{version}", path=folder)
        if found and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0:
            return found
    return None


def test_the_pythons_are_the_same_wherever_they_are_named() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")

    assert PROJECT["project"]["requires-python"] == f">={PYTHONS[0]}"
    assert f"PYTHONS := {' '.join(PYTHONS)}\n" in makefile
    assert PROJECT["tool"]["mypy"]["python_version"] == PYTHONS[0]
    assert PROJECT["tool"]["ruff"]["target-version"] == f"py{PYTHONS[0].replace('.', '')}"
    assert f"{sys.version_info[0]}.{sys.version_info[1]}" in PYTHONS


@pytest.mark.serves
@pytest.mark.parametrize("version", PYTHONS)
def test_each_python_that_is_here_reads_every_file_without_a_warning(version: str) -> None:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"there is no Python {version} here")

    done = subprocess.run(
        [python, "-W", "error", "-c", COMPILE],
        input="\0".join(map(str, SOURCES)), capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")


def test_no_module_is_used_that_a_later_python_lacks() -> None:
    gone = re.compile(rf"^\s*(?:import|from) (?:{GONE})\b.*", re.MULTILINE)

    assert gone.findall("import enum\nfrom distutils.util import strtobool\n") == [
        "from distutils.util import strtobool"
    ]
    assert [found for file in SOURCES for found in gone.findall(file.read_text(encoding="utf-8"))] == []
