"""Sets of up to six facts in every order of arrival, on all processors: R6, R10, R27, R28, S15."""

import os
import sys
import time
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed
from hypothesis import settings as examples
from hypothesis import strategies as st

from config.embedded import Embedded
from config.engine import make_engine
from config.runtime import Endpoints, Runtime
from config.settings import Settings
from config.streams import make_redis
from tests import mailserver
from tests.chaos.conftest import say
from tests.databases import Databases, database_named
from tests.model.arrivals import Arrivals, beginnings, differences, sets
from tests.world import World

#: Sets that are tried; and the facts in one at most, of which all orders are.
SETS = int(os.environ.get("CHAOS_ARRIVALS", "20000"))
MOST = 6


def shard(database_url: str, redis_url: str, home: Path, number: int, tried: int) -> int:
    """Try so many sets, in a database of one's own; how many arrivals that took."""
    server, controller = mailserver.start()
    endpoints = Endpoints(
        database_url=database_url,
        redis_url=redis_url,
        smtp_url=server.url,
        mail_from="Acme <learning@rollcall.example>",
        public_url="http://127.0.0.1:1",
        secret_key="only for tests",
        bounce_address="bounces@bounces.rollcall.example",
    )
    runtime = Runtime(Settings(rollcall_home=home), endpoints, make_engine(database_url, role="test"))
    with make_redis(redis_url) as client:
        arrivals = Arrivals(World(runtime, client, server))

        @seed(time.time_ns() + number)
        @examples(
            max_examples=tried,
            database=None,
            deadline=None,
            phases=[Phase.generate, Phase.shrink],
            report_multiple_bugs=False,
            suppress_health_check=[*HealthCheck],
        )
        @given(data=st.data())
        def every_order_ends_alike(data: st.DataObject) -> None:
            beginning, said = data.draw(beginnings), data.draw(sets(MOST))
            with (home / f"shard-{number}").open("a") as progress:
                progress.write(".")
            wrong = differences(arrivals.ends(beginning, said), said)
            assert not wrong, f"{beginning} at first\n{wrong[0]}"

        every_order_ends_alike()
        arrivals.close()
    runtime.engine.dispose()
    controller.stop()
    return arrivals.arrived


def test_r06_r28_every_order_of_arrival_ends_in_the_same_rows_and_ledger(
    servers: Embedded,
    _databases: Databases,  # noqa: PT019 - it gives what is named
    redis_url: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    processors = min(os.cpu_count() or 1, 8)
    begun = time.monotonic()
    with ExitStack() as stack:
        urls = [database_named(servers, stack.enter_context(_databases.fresh())) for _ in range(processors)]
        pool = stack.enter_context(ProcessPoolExecutor(processors, mp_context=get_context("spawn")))
        parts = [pool.submit(shard, url, redis_url, tmp_path, n, -(-SETS // processors)) for n, url in enumerate(urls)]
        while wait(parts, 60, FIRST_EXCEPTION).not_done and not any(part.done() and part.exception() for part in parts):
            with capsys.disabled():
                begun_sets = sum(file.stat().st_size for file in tmp_path.glob("shard-*"))
                sys.stdout.write(f"{begun_sets:,} of {SETS:,} sets after {time.monotonic() - begun:,.0f} s\n")
                sys.stdout.flush()
        arrived = sum(part.result() for part in parts)
    took = time.monotonic() - begun
    say(f"arrivals: {SETS:,} sets of facts in every order, {arrived:,} arrivals, {SETS / took:.1f} sets a second")
