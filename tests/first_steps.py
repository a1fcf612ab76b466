"""docs/first-steps.md, followed word for word: its files written, its blocks run, what they print compared."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "first-steps.md"

BASH = shutil.which("bash") or "/bin/bash"

#: A fenced block: its language and its text.
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

#: Seconds after which the page counts as hanging.
PATIENCE = 200

#: Stands between the outputs of two blocks.
MARK = "-- the next block --"

#: For where no redis-cli is: sends a command to the real server and prints the answer as redis-cli prints it to a file.
REDIS_CLI = """
import socket
import sys

_, option, path, *words = sys.argv
assert option == "-s"
redis = socket.socket(socket.AF_UNIX)
redis.connect(path)
parts = [word.encode() for word in words]
redis.sendall(b"*%d\\r\\n" % len(parts) + b"".join(b"$%d\\r\\n%s\\r\\n" % (len(part), part) for part in parts))
answers = redis.makefile("rb")


def show():
    kind, rest = (line := answers.readline().rstrip().decode())[0], line[1:]
    if kind == "*":
        for _ in range(int(rest)):
            show()
    else:
        print(answers.read(int(rest) + 2)[:-2].decode() if kind == "$" and rest != "-1" else rest)


show()
"""


class Reader:
    """A platform team's developer in a checkout, `folder`, with the page open."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self._folder = folder
        self._env = env | {"PYTHONPATH": str(ROOT)}
        blocks: list[tuple[str, str]] = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
        self._scripts = [
            (text, following if language == "text" else "")
            for (kind, text), (language, following) in zip(blocks, [*blocks[1:], ("", "")], strict=True)
            if kind == "sh"
        ]
        commands = folder / ".venv" / "bin"
        commands.mkdir(parents=True)
        (folder / "Procfile").symlink_to(ROOT / "Procfile")
        (folder / "redis-cli.py").write_text(REDIS_CLI)
        called = {"python": "", "rollcall": "-m workers.cli"}
        if shutil.which("redis-cli") is None:
            called["redis-cli"] = f'-IS "{folder / "redis-cli.py"}"'
        for name, arguments in called.items():
            (commands / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
            (commands / name).chmod(0o755)
        for kind, text in blocks:
            if kind == "python":
                (folder / text.splitlines()[0].removeprefix("# ")).write_text(text, encoding="utf-8")

    def start(self, log: Path) -> "subprocess.Popen[bytes]":
        """Do what the first block says, in a terminal of its own."""
        with log.open("wb") as output:
            return subprocess.Popen(
                [BASH, "-ec", self._scripts[0][0]], cwd=self._folder, env=self._env, stdout=output, stderr=output
            )

    def follow(self) -> None:
        """Do what all the others say, in another terminal; each prints what the page says, and nothing goes wrong."""
        scripts = self._scripts[1:]
        done = subprocess.run(
            [BASH, "-euo", "pipefail", "-c", f"\necho '{MARK}'\n".join(script for script, _ in scripts)],
            cwd=self._folder,
            env=self._env,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), f"{done.stdout}\n{done.stderr}"
        for (script, says), said in zip(scripts, done.stdout.split(f"{MARK}\n"), strict=True):
            assert re.fullmatch(_pattern(says), _trimmed(said)), f"{script}\nprints\n{said}\nand the page says\n{says}"


def _pattern(says: str) -> str:
    """What the page says, where … stands for whatever is there in a line, and alone for any lines."""
    lines = (
        "(.*\n)*" if line == "…" else f"{'.*'.join(map(re.escape, line.split('…')))}\n" for line in says.splitlines()
    )
    return "".join(lines)


def _trimmed(said: str) -> str:
    """What was printed, without the spaces that fill a table's lines."""
    return "".join(f"{line.rstrip()}\n" for line in said.splitlines())
