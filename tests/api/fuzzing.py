"""Schemathesis over every route: what it asks is about organisations that are there, and what it looks for besides.

It is loaded by schemathesis itself (SCHEMATHESIS_HOOKS); `fuzz` starts that.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus
from zlib import crc32

import schemathesis

from tests.api.conftest import Client
from tests.isolation.neighbours import ONLY_THEIRS, OURS, SECRET, THEIRS

ROOT = Path(__file__).parents[2]

#: What stands in their texts, ids and addresses. Nobody else gets it, but who asked for it by this name.
CANARIES = (SECRET, f"@{THEIRS}.example", ONLY_THEIRS)

#: Whether the caller may see both organisations: then nothing is a secret.
SEES_ALL = "ROLLCALL_FUZZ_SEES_ALL"

#: What fields of paths are named after, besides what schemathesis thinks of: what both have, and what only they have.
NAMES = {
    "learner": ["A", "B", "C", "D", ONLY_THEIRS],
    "course": ["safety", "law", "art", ONLY_THEIRS],
    "segment": ["nurses", ONLY_THEIRS],
    "announcement": ["sent", "draft", "scheduled", "sending", "paused", "unsent", ONLY_THEIRS],
    "id": ["hook", ONLY_THEIRS],
}


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    """Name things that are there, most of the time; the same each time for the same example. What is only theirs is
    not named by what would make it ours, too."""
    for field, value in (path_parameters or {}).items():
        chance = crc32(repr((field, sorted(map(repr, path_parameters.items())))).encode())  # type: ignore[union-attr]
        names = [*[OURS] * 6, THEIRS] if field == "organisation" else NAMES.get(field, [])
        if context.operation.method.upper() == "PUT":
            names = [name for name in names if name != ONLY_THEIRS]
        if names and chance % 8:
            path_parameters[field] = names[chance // 8 % len(names)]  # type: ignore[index]
        else:
            path_parameters[field] = value  # type: ignore[index]
    return path_parameters


@schemathesis.check
def nothing_of_another_organisation(_context: Any, response: Any, _case: Any) -> None:
    """R31: whatever is asked, nothing of another organisation's is in the answer, neither in its body nor its head."""
    if SEES_ALL in os.environ:
        return
    sent = response.request
    asked = f"{unquote_plus(sent.url)} {sent.body if isinstance(sent.body, str) else repr(sent.body)}"
    said = f"{response.headers} {response.content.decode(errors='replace')}"
    for canary in CANARIES:
        assert canary not in said or canary in asked, f"{canary} is in the answer"


def fuzz(client: Client, place: Path, *options: str, sees_all: bool = False) -> str:
    """What schemathesis finds; nothing if all is well. It leaves its notes at `place`; its `options` say how long it
    looks."""
    env = os.environ | {"SCHEMATHESIS_HOOKS": __name__, "PYTHONPATH": str(ROOT)}
    command = [
        sys.executable, "-m", "schemathesis.cli", "--config-file", str(Path(__file__).with_name("schemathesis.toml")),
        "run", str(ROOT / "docs" / "openapi.json"), "--url", f"{client.public_url}/api/v1", "--no-color",
        "--continue-on-failure", "--warnings", "off", *options,
    ]  # fmt: skip
    if client.token is not None:
        command += ["--header", f"Authorization: Bearer {client.token}"]
    done = subprocess.run(
        command,
        env=env | ({SEES_ALL: "1"} if sees_all else {}),
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr
