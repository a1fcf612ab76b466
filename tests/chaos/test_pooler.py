"""R18, R26, R31, R33: all through PgBouncer, which dies again and again, as do the workers: nothing lost or doubled."""

from collections import Counter

from bench.mail.rollcall import ADDRESSES, mail_settings
from bench.mail.sink import recording
from bench.system import Commands, System
from tests.chaos.conftest import DOUBTED, only_the_doubted_twice, say
from tests.chaos.processes import processes
from tests.chaos.test_starts import told
from tests.chaos.test_two_versions import (
    CHARGED,
    EVERYWHERE,
    LEARNERS,
    at_work,
    begin,
    command,
    enrolled,
    portions,
    settle,
)
from tests.pgbouncer import SESSIONS, pgbouncer

COMMANDS: Commands = {
    "ingress 1": ("ingress",),
    "ingress 2": ("ingress",),
    "relay": ("relay",),
    "tasks": ("pool", "tasks", "--threads", "4"),
    "mail": ("pool", "mail", "--threads", "4"),
    "bulk 1": ("pool", "bulk", "--threads", "2"),
    "bulk 2": ("pool", "bulk", "--threads", "2"),
    "webhooks": ("webhooks",),
}

#: Mails that are begun together, the most that may be uncertain for each thread that is lost, or does not come to
#: record them.
GROUP = 50

#: Threads that send.
THREADS = 8


def test_r18_r26_r31_r33_a_pooler_and_workers_that_die_cost_time_never_work(on: System) -> None:
    on.redis.flushall()
    deaths = 0
    with (
        recording(on.home) as sink,
        on.database("pooled", LEARNERS) as database,
        pgbouncer(database.url) as pooler,
    ):
        settings = mail_settings(sink.port) | {
            "DATABASE_POOLER_URL": pooler.url, "ROLLCALL_LEASE_SECONDS": "5", "ROLLCALL_OFFER_SECONDS": "1",
            "ROLLCALL_MAIL_GROUP": str(GROUP),
        }  # fmt: skip
        with processes(on, database, settings, 1, COMMANDS) as running:
            on.publish(enrolled(0))
            for name in COMMANDS:
                if name != "webhooks":  # which does not say that it has begun
                    at_work(running, name)
            begin(on, running, 0, None, settings)
            most = 0
            for portion in portions(0):
                on.publish(portion)
                running.watch(2.0)
                [pool] = (one for one in pooler.ask("POOLS") if one["database"] == database.name)
                most = max(most, int(pool["cl_active"]) + int(pool["cl_waiting"]))
                assert int(pool["sv_active"]) + int(pool["sv_idle"]) + int(pool["sv_used"]) <= SESSIONS
                pooler.kill()
                running.kill_one("bulk" if deaths % 2 else "tasks")
                pooler.start()
                deaths += 1
            settle(running)
            for proof in (["verify"], ["seats", "verify"], ["reconcile", "--organisation", "acme"]):
                command(on, database, settings, None, *proof)
            mailed = set(running.column(ADDRESSES))
            active = set(running.column("SELECT id FROM learners WHERE standing = 'active'"))
            everywhere = Counter(running.column(EVERYWHERE))
            charged = Counter(running.rows(CHARGED))
            doubted = running.column(DOUBTED)
            states = Counter(dict(running.rows("SELECT state::text, count(*) FROM deliveries GROUP BY state")))
            kills = running.kills
        events = Counter(
            (each["data"]["learner"], each["data"]["course"])
            for each in told(on.redis)
            if each["type"] == "rollcall.seat.consumed"
        )
        sink.settle()
        taken = list(sink.taken())

    uncertain = states["uncertain"]
    say(f"pooler: it died {deaths} times, and {kills} workers; {len(taken):,} mails, {uncertain} of them uncertain")
    assert most > SESSIONS
    only_the_doubted_twice(taken, doubted)
    got = Counter(recipient for _, recipient in {(mail.kind, mail.recipient) for mail in taken})
    assert max(got.values()) <= 2, "an announcement and a notice"
    assert 2 * len(mailed) - uncertain <= got.total() <= 2 * len(mailed)
    assert uncertain + len(doubted) <= (deaths * THREADS + kills * THREADS) * GROUP
    assert set(everywhere.values()) == {1}
    assert len(everywhere) == LEARNERS
    assert set(charged.values()) == {1}
    assert len(charged) == len(active)
    assert events == {(learner, "started 0"): 1 for learner in active}
