"""A real OpenID provider, and pages whose people sign in through it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from argon2 import PasswordHasher
from pydantic import SecretStr

from config.runtime import Runtime
from tests.accounts.test_signing_in import Browser
from tests.oidc.provider import CLIENT, SECRET, Provider, started
from tests.workers.serving import served
from tests.world import World

GROUPS = "ops=operator; acme-admins=admin:acme; *-staff=reader"


@pytest.fixture(scope="session")
def _provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with started(tmp_path_factory.mktemp("provider")) as found:
        yield found


@pytest.fixture
def provider(_provider: Provider) -> Provider:
    """A provider that knows nobody yet."""
    _provider.people.clear()
    return _provider


@pytest.fixture(autouse=True)
def _cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords are hashed as always, and for a hundredth of the cost."""
    cheap = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    monkeypatch.setattr("tasks.accounts.passwords._hasher", lambda: cheap)


@dataclass
class Pages:
    """The pages, and a provider for them."""

    world: World
    runtime: Runtime
    provider: Provider

    def browser(self) -> Browser:
        """A new one."""
        return Browser(self.runtime.endpoints.public_url)

    def begun(self, browser: Browser) -> str:
        """Where a browser is sent that begins."""
        browser.open("/sign-in/openid")
        assert browser.status == 303, browser.text
        return browser.headers["location"]

    def sign_in(self, who: str, browser: Browser | None = None) -> Browser:
        """Somebody signs in through the provider."""
        one = browser or self.browser()
        return one.open(self.provider.let_in(self.begun(one), who))


@pytest.fixture
def pages(world: World, provider: Provider) -> Iterator[Pages]:
    """The pages, served, of a deployment whose people sign in through the provider."""
    settings = world.runtime.settings.model_copy(
        update={
            "rollcall_oidc_issuer": provider.issuer,
            "rollcall_oidc_client_id": CLIENT,
            "rollcall_oidc_client_secret": SecretStr(SECRET),
            "rollcall_oidc_groups": GROUPS,
            "rollcall_oidc_scopes": "openid email groups",
        }
    )
    with served(replace(world.runtime, settings=settings), provider.pages_port) as runtime:
        yield Pages(world, runtime, provider)
