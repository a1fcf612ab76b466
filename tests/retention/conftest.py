"""Databases whose ledger of deliveries was divided long ago: to make its months takes longer than most tests."""

from collections.abc import Iterator

import pytest

from config.embedded import Embedded
from config.settings import Settings
from config.streams import make_redis
from tests.conftest import runtime_over
from tests.databases import Databases, database_named
from tests.mailserver import MailServer
from tests.retention.months import numbered_in
from tests.world import World


@pytest.fixture(scope="session")
def _divided(
    servers: Embedded, _databases: Databases, _mail_server: MailServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Databases]:
    """Copies of one that has the months since the fifteenth before this one, in which mailings are numbered."""
    settings = Settings(rollcall_home=tmp_path_factory.mktemp("divided"))
    with _databases.fresh() as name:
        url = database_named(servers, name)
        with (
            runtime_over(settings, url, str(servers.redis_url), _mail_server) as runtime,
            make_redis(runtime.endpoints.redis_url) as client,
        ):
            numbered_in(World(runtime, client, _mail_server), 15)
        divided = Databases(servers, name)
        yield divided
        divided.close()


@pytest.fixture
def copies(request: pytest.FixtureRequest, _databases: Databases) -> Databases:
    """Of one with these months where a test asks for `months`."""
    if "months" not in request.fixturenames:
        return _databases
    found: Databases = request.getfixturevalue("_divided")
    return found


@pytest.fixture
def months() -> None:
    """The ledger was divided fifteen months ago, and mailings are numbered in that month."""
