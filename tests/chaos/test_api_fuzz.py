"""Schemathesis over every route with every role: no 5xx, no answer that breaks the document, nothing of others."""

import os
from collections.abc import Callable

import pytest

from tasks.accounts import Role
from tests.api.conftest import Served, neighbours, serve
from tests.api.fuzzing import fuzz

__all__ = ["neighbours", "serve"]  # fixtures

#: Seconds of all roles together.
SECONDS = int(os.environ.get("CHAOS_FUZZ_SECONDS", "600"))

WHO = [None, *Role]


@pytest.mark.parametrize("role", WHO, ids=lambda role: role or "stranger")
def test_r31_r34_schemathesis_finds_nothing(
    neighbours: object, serve: Callable[..., Served], role: Role | None
) -> None:
    client = serve(rollcall_api_rate=1_000_000).client(role)

    found = fuzz(client, "--max-time", str(SECONDS // len(WHO)), sees_all=role is Role.OPERATOR)

    assert found == ""
