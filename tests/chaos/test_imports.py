"""R2, R15: thousands of exports of any system, in any state, and large ones in which nothing is as it should be: nobody
whom a file calls inactive ends as active, none raises, and memory stays what it is for a small file."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from random import Random

from hypothesis import HealthCheck, given, settings

from bench.system import LOOK_SECONDS, ORGANISATION, System, peak_megabytes
from config.engine import make_engine
from config.runtime import Endpoints, Runtime
from config.settings import Settings
from tests import mailserver
from tests.chaos.conftest import say
from tests.learners.exports import Export, exports
from tests.learners.test_import_any import check, imported
from tests.world import World

#: Exports that are imported, and lines of the larger of two files; fewer show that it runs.
EXPORTS = int(os.environ.get("CHAOS_EXPORTS", "2000"))
LINES = int(os.environ.get("CHAOS_LINES", "300000"))

#: How much more memory a file of ten times the lines may take.
FLAT = 1.25


def test_r02_nobody_whom_any_of_thousands_of_exports_calls_inactive_ends_as_active(on: System) -> None:
    server, controller = mailserver.start()
    with on.database("exports", 0) as database:
        endpoints = Endpoints(database.url, on.redis_url, server.url, "Acme <a@rollcall.example>", "http://x", "a key")
        engine = make_engine(database.url, role="chaos")
        world = World(Runtime(Settings(rollcall_home=on.home), endpoints, engine), on.redis, server)
        seen = {"files": 0, "lines": 0, "refused": 0}

        @given(exports())
        @settings(max_examples=EXPORTS, derandomize=False, suppress_health_check=list(HealthCheck))
        def each(export: Export) -> None:
            result, standings = imported(world, export)
            check(export, result, standings)
            seen["files"] += 1
            seen["lines"] += result.read
            seen["refused"] += sum(result.refused.values())

        each()
        engine.dispose()
    controller.stop()
    say(
        "imports: {files} exports with {lines} lines, {refused} of them refused; nobody inactive is active".format(
            **seen
        )
    )


def test_r02_a_file_in_which_nothing_is_as_it_should_be_takes_no_more_memory(on: System) -> None:
    peaks = [_peak(on, _hostile(on.home / f"hostile-{lines}.csv", lines)) for lines in (LINES // 10, LINES)]

    say(f"imports: {LINES // 10} hostile lines take {peaks[0]:.0f} MB, {LINES} take {peaks[1]:.0f} MB")
    assert peaks[1] < peaks[0] * FLAT


def _hostile(path: Path, lines: int) -> Path:
    """Legacy letters, a different status and time zone on each line, marks, odd bytes, and quotation marks that never
    close."""
    chance = Random(lines)  # noqa: S311 - not a secret
    with path.open("wb") as file:
        file.write(b"id;login;email;first name;time zone;status;notes\r\n")
        for n in range(lines):
            status = chance.choice(["Active", "Suspended", f"state {n}", "\xa0Active"])
            name = chance.choice(["Łucja", "Żółć", "Ann", "=1+1", "'-x", '"open', "x" * 2000])
            notes = chance.choice(["", "ąę" * 200, '"a""b\nc"'])
            line = f"'{n:07};user{n};u{n}@acme..example;{name};zone {n};{status};{notes}\r\n"
            file.write(line.encode("cp1250") if n % 7 else line.encode())
    return path


def _peak(on: System, file: Path) -> float:
    """The most memory that the import of a file takes, in MB."""
    megabytes = 0.0
    with on.database("hostile", 0) as database:
        command = [sys.executable, "-m", "workers.cli", "learners", "import", str(file), "-o", ORGANISATION, "--json"]
        environment = os.environ | {"ROLLCALL_HOME": str(on.home), "DATABASE_URL": database.url}
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process:
            while process.poll() is None:
                with suppress(KeyError, OSError):  # it has just ended
                    megabytes = max(megabytes, peak_megabytes(process.pid))
                with suppress(subprocess.TimeoutExpired):
                    process.wait(LOOK_SECONDS)
            assert process.stderr is not None
            said = process.stderr.read()
    assert "lines were refused" in said, said[-2000:]
    return megabytes
