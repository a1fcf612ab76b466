"""Schemathesis over every route with every role: no 5xx, no answer that breaks the document, nothing of others."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.accounts import Role
from tests.api.conftest import Served, neighbours, serve
from tests.api.fuzzing import fuzz
from tests.world import World
from workers.web.api import doors

__all__ = ["neighbours", "serve"]  # fixtures

#: Seconds of all roles together.
SECONDS = int(os.environ.get("CHAOS_FUZZ_SECONDS", "600"))

WHO = [None, *Role]


@pytest.mark.parametrize("role", WHO, ids=lambda role: role or "stranger")
def test_r31_r34_schemathesis_finds_nothing(
    neighbours: World,
    serve: Callable[..., Served],
    role: Role | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doors, "STRANGERS_AT_ONCE", 1e9)  # or all that strangers hear is 429
    client = serve(rollcall_api_rate=1_000_000).client(role)

    found = fuzz(client, tmp_path, "--max-time", str(SECONDS // len(WHO)), sees_all=role is Role.OPERATOR)

    assert found == "", found
