"""The units for systemd run what the Procfile runs, and are understood by systemd."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UNITS = ROOT / "deploy" / "systemd"
INSTALLED = "/opt/rollcall/bin/rollcall"

#: The exposure that systemd-analyze reckons at most, of 100: 92 is a unit that protects nothing.
MOST_EXPOSED = 15

ANALYZE = shutil.which("systemd-analyze")


def started(unit: Path) -> list[str]:
    """What a unit starts."""
    return [line.removeprefix("ExecStart=") for line in unit.read_text().splitlines() if line.startswith("ExecStart=")]


def test_there_is_a_unit_for_each_line_of_the_procfile() -> None:
    lines = (ROOT / "workers" / "Procfile").read_text().splitlines()
    expected = dict(line.split(": ", 1) for line in lines if line)
    units = {unit.name.removeprefix("rollcall-").removesuffix("@.service"): unit for unit in UNITS.glob("*.service")}

    assert {name: started(unit) for name, unit in units.items()} == {
        name: [command.replace("rollcall ", INSTALLED + " ", 1)] for name, command in expected.items()
    }


@pytest.mark.serves
@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not here (Debian: systemd)")
def test_systemd_understands_each_unit(tmp_path: Path) -> None:
    units = shutil.copytree(UNITS, tmp_path / "units")
    for unit in units.glob("*.service"):
        unit.write_text(unit.read_text().replace(INSTALLED, str(Path(sys.executable).with_name("rollcall"))))
    names = sorted(unit.name.replace("@.", "@1.") for unit in units.glob("*.service"))
    for unit in units.glob("*@.service"):
        unit.rename(unit.with_name(unit.name.replace("@.", "@1.")))
    checked = [str(units / name) for name in (*names, "rollcall.target")]

    verified = subprocess.run(
        [str(ANALYZE), "verify", "--man=no", *checked], capture_output=True, text=True, check=False
    )

    assert (verified.returncode, [line for line in verified.stderr.splitlines() if "rollcall" in line]) == (0, [])
    for name in names:
        exposed = subprocess.run(
            [str(ANALYZE), "security", "--offline=true", f"--threshold={MOST_EXPOSED}", str(units / name)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert exposed.returncode == 0, exposed.stdout[-200:]
