"""The Python client that is made from docs/openapi.json does what the API does, and says what it says."""

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tasks.accounts import Role
from tests.api.conftest import Served
from tests.api.python_client import make_client
from workers.web.api.routes import every_route


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package of the client, on the path."""
    made = make_client()
    monkeypatch.syspath_prepend(made)
    yield made / "rollcall_client"
    for name in [name for name in sys.modules if name.partition(".")[0] == "rollcall_client"]:
        del sys.modules[name]


def act(name: str) -> Any:
    """The module of an act."""
    return import_module(f"rollcall_client.api.{name.partition('.')[0]}.{name.replace('.', '_')}")


@pytest.mark.serves
def test_every_act_has_a_function(package: Path) -> None:
    made = {f"{one.parent.name}/{one.stem}" for one in (package / "api").glob("*/*.py") if one.stem != "__init__"}

    assert made == {f"{n.partition('.')[0]}/{n.replace('.', '_')}" for n in (r.act.name for r in every_route())}


def test_r34_acts_by_role_problems_pages_and_an_export(package: Path, api: Served) -> None:
    api.world.has_learners("A", "B", "C")
    api.world.has_course("safety", "everyone")
    api.world.has_course("fire")
    models, client = import_module("rollcall_client.models"), import_module("rollcall_client")

    def of(role: Role | None) -> Any:
        token = api.client(role).token
        return client.AuthenticatedClient(f"{api.public_url}/api/v1", token=token or "none")

    admin, reader = of(Role.ADMIN), of(Role.READER)

    toggled = act("learners.deactivate").sync("acme", "A", client=admin, idempotency_key="k")
    again = act("learners.deactivate").sync_detailed("acme", "A", client=admin, idempotency_key="k")
    assert (toggled.learner, toggled.status, toggled.changed) == ("A", "inactive", True)
    assert (again.parsed.changed, again.headers["idempotency-replayed"]) == (True, "true")
    access = act("access.ask").sync("acme", client=reader, learner="A", course="safety")
    assert (access.access, access.because) == (False, ["active"])
    body = models.EnrolmentsRequestBody(learners=["B", "C"], tab="all")
    assert act("enrolments.request").sync("acme", "fire", client=admin, body=body).selected == 2

    refused = act("learners.activate").sync_detailed("acme", "A", client=reader)
    assert (refused.status_code, refused.parsed.status, refused.parsed.title) == (
        403, 403, "The caller may not do this.",
    )  # fmt: skip
    wrong = act("learners.list").sync("acme", client=reader, limit=0)
    assert [one.pointer for one in wrong.errors] == ["/limit"]
    assert act("courses.show").sync("acme", "none", client=reader).status == 404
    assert act("courses.list").sync_detailed("acme", client=of(None)).status_code == 401

    pages: list[list[str]] = []
    after = None
    while not pages or after is not None:
        page = act("learners.list").sync(
            "acme", client=reader, limit=2, tab=models.LearnersListTab.ALL, **({"after": after} if after else {})
        )
        pages.append([one.learner for one in page.items])
        after = page.next_
    assert pages == [["A", "B"], ["C"]]

    with reader.get_httpx_client().stream("GET", "/organisations/acme/reports/training") as rows:
        assert rows.headers["content-type"].startswith("text/csv")
        assert len([*rows.iter_lines()]) == 5
