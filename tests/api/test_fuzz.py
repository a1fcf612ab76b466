"""R31, R34: schemathesis asks each route a little, by turns as each role. `make chaos` does so for ten minutes."""

from collections.abc import Callable
from typing import Any

import hypothesis
import schemathesis
from hypothesis import HealthCheck, Phase
from requests import Session
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from tasks.accounts import Role
from tests.api.conftest import Client, Served
from tests.api.fuzzing import nothing_of_another_organisation
from tests.api.test_openapi import DOCUMENT
from tests.world import World

#: What holds of every answer. A stranger's 401 is what `negative_data_rejection` takes as well.
CHECKS = [
    not_a_server_error, checks.status_code_conformance, checks.content_type_conformance,
    checks.response_headers_conformance, checks.response_schema_conformance, checks.negative_data_rejection,
    nothing_of_another_organisation,
]  # fmt: skip

#: Who asks. An operator sees everybody's, so its answers hold no secret.
ROLES = [Role.ADMIN, Role.READER, Role.ADMIN, None]

#: What the document allows, and what it does not. Each role asks for both.
MODES = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE, GenerationMode.POSITIVE]


def exact(part: Any) -> Any:
    """The document, where an answer has no field that is not named: a client may not count on that, and we do."""
    if isinstance(part, list):
        return [exact(one) for one in part]
    if not isinstance(part, dict):
        return part
    made = {name: exact(one) for name, one in part.items()}
    closed = isinstance(part.get("properties"), dict) and "additionalProperties" not in part
    return made | ({"additionalProperties": False} if closed else {})


def asking(client: Client, session: Session, statuses: list[int], wrong: list[str]) -> Callable[[Any], None]:
    """Asks what it is given, and notes the status of the answer and what is wrong with it."""
    headers = {"Authorization": f"Bearer {client.token}"} if client.token else {}

    def ask(case: Any) -> None:
        answer = case.call(base_url=f"{client.public_url}/api/v1", session=session, headers=headers)
        statuses.append(answer.status_code)
        try:
            case.validate_response(answer, checks=CHECKS, headers=headers)
        except BaseExceptionGroup as problem:
            wrong.append(f"{case.as_curl_command()}: {answer.status_code} {answer.text}: {problem.exceptions}")

    return ask


def test_r31_r34_no_answer_breaks_the_document_and_none_has_anything_of_others(
    neighbours: World, serve: Callable[..., Served]
) -> None:
    api = serve(rollcall_api_rate=1_000_000)
    session, statuses = Session(), list[int]()
    wrong: list[str] = []
    schema: Any = schemathesis.openapi.from_dict(exact(DOCUMENT))
    for number, found in enumerate(schema.get_all_operations()):
        operation, client = found.ok(), api.client(ROLES[number % len(ROLES)])
        cases = operation.as_strategy(generation_mode=MODES[number % len(MODES)])
        one = hypothesis.settings(
            max_examples=1, phases=[Phase.generate], suppress_health_check=[*HealthCheck], database=None
        )
        given: Any = hypothesis.given(cases)
        run: Any = one(given(asking(client, session, statuses, wrong)))
        run()

    assert wrong == []
    assert {200, 401, 403, 404, 422} <= {*statuses}
