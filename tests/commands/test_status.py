"""`rollcall status --watch`: how fast things go, and that it goes on whatever is away."""

import redis
from rich.console import Console

from config.database import transaction
from config.errors import UserError
from tasks import fleet
from tasks.acts import system as acts
from tasks.acts.acting import Nothing, perform
from tests.acts.doing import caller
from tests.world import World
from workers.commands.status import RATE_SECONDS, GrowthRates, _screen


def shown(looked: object) -> str:
    """What a person sees."""
    console = Console(width=200)
    with console.capture() as captured:
        console.print(looked)
    return captured.get()


def test_the_rate_is_that_of_the_last_minute() -> None:
    rates = GrowthRates()
    assert rates.see(0, {"mails": 100}) == {"mails": 0}
    assert rates.see(10, {"mails": 200, "starts": 5}) == {"mails": 10, "starts": 0}
    for at in range(20, 200, 10):
        last = rates.see(at, {"mails": 200})
    assert last == {"mails": 0}
    assert rates.see(200, {"mails": 200 + RATE_SECONDS})["mails"] == 1


def test_the_view_shows_how_fast_things_go_and_goes_on_while_a_server_is_away(world: World) -> None:
    rates = GrowthRates()

    def ask() -> acts.SystemStatus:
        return perform(world.runtime, caller(), acts.show, Nothing())

    first = shown(_screen(ask, rates))
    with transaction(world.runtime.engine) as connection:
        fleet.add_counts(connection, {'rollcall_mails_total{kind="digest",outcome="accepted"}': 1e9})
    second = shown(_screen(ask, rates))

    assert "0.0 events/s · 0.0 mails/s · 0.0 starts/s" in first
    assert "0.0 mails/s" not in second
    for problem, says in (
        (redis.ConnectionError("Error 111 connecting: Connection refused"), "cannot be asked: nothing listens there."),
        (UserError("The server does not answer."), "The server does not answer."),
    ):

        def fail(problem: Exception = problem) -> acts.SystemStatus:
            raise problem

        assert says in shown(_screen(fail, rates))
    assert "nobody works on it" in shown(_screen(ask, rates))
