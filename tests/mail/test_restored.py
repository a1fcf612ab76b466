"""A database that was restored from a backup mails nobody again by itself: R19, R20, R31, S10."""

import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from struct import pack
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from config.database import transaction
from config.engine import make_engine
from config.runtime import Runtime
from config.services import REDIS, runtime
from config.settings import load_settings
from tasks.mail.ledger import control, restored, witness
from tasks.mail.ledger.witness import FILE, MOST_GROUPS, Witness, _missing
from tasks.work.store import SHARDS, Beat
from tests.isolation.conftest import Rollcall, rollcall
from tests.mail.backup import Backup
from tests.scale.explained import counted
from tests.world import World
from workers.relay.witness import WatchWitness as Look

__all__ = ["rollcall"]  # a fixture

MANY = 30


@pytest.fixture
def used_before() -> bool:
    """A database for each test: these are renamed, or told what holds in all that is asked of them."""
    return False


@pytest.fixture
def backup(world: World) -> Iterator[Backup]:
    """A backup, not taken yet."""
    found = Backup(world)
    yield found
    found.forget()


def mails(world: World) -> Counter[tuple[str, str]]:
    """How many mails of which subject each address got."""
    return Counter((address, str(message["Subject"])) for address, message in world.mail.taken)


def everybody(world: World) -> None:
    """Learners of the organisation."""
    world.has_learners(*(f"L{n}" for n in range(MANY)))


def starts_anew(world: World) -> None:
    """All processes end and begin again: what they remember is gone."""
    world.runtime.engine.dispose()
    engine = make_engine(world.runtime.endpoints.database_url, role="test")
    world.runtime = Runtime(world.runtime.settings, world.runtime.endpoints, engine)


def a_relay_looks(world: World) -> None:
    """The relay's look, which it has every few seconds, and before it wakes anybody."""
    Look(world.runtime).do()


def document(rollcall: Rollcall, *words: str, exit_code: int = 0) -> Any:
    """What a command prints with --json."""
    result = rollcall(*words, "--json")
    assert result.exit_code == exit_code, f"{result.output}{result.exception}"
    return json.loads(result.stdout)


#: What is left of what remembers, besides the database.
LEFT: dict[str, Callable[[World], object]] = {
    "everything": lambda _world: None,
    "the home alone": lambda world: world.redis.flushdb(),
}


@pytest.mark.parametrize("left", LEFT)
def test_r19_a_backup_restored_after_a_mailing_sends_it_to_nobody_again(
    world: World, backup: Backup, rollcall: Rollcall, left: str
) -> None:
    everybody(world)
    world.announces()
    backup.take()
    world.settle()
    a_relay_looks(world)
    assert len(mails(world)) == MANY
    backup.restore()
    LEFT[left](world)
    starts_anew(world)

    world.settle()
    assert set(mails(world).values()) == {1}, "nothing leaves"
    a_relay_looks(world)
    paused = document(rollcall, "status")["mail_paused"]
    assert (paused["by"], paused["why"]) == ("rollcall", "restored")
    assert "rollcall restored" in paused["what_to_do"]
    assert rollcall("mail", "resume").exit_code == 1
    assert document(rollcall, "reconcile", exit_code=1)["restored"]
    assert document(rollcall, "migrate")["restored"]

    seen = document(rollcall, "restored", exit_code=1)
    known = 0 if left == "the home alone" else MANY
    assert (seen["noticed"], seen["settled"], seen["mails_known"]) == (True, False, known)
    assert seen["affected"] == [
        {
            "organisation": "acme",
            "kind": "announcement",
            "announcement": "news",
            "state": "sending",
            "pending": MANY,
            "sent_since": known,
            "not_known": MANY - known,
        }
    ]
    assert document(rollcall, "restored", "--yes")["settled"]
    counts = world.progress("news")
    assert (counts.state, counts.uncertain, counts.pending) == ("paused", known, MANY - known)
    assert rollcall("mail", "resume").exit_code == 0
    starts_anew(world)
    world.settle()
    assert set(mails(world).values()) == {1}, "the announcement asks"

    assert rollcall("announcements", "resume", "news", "-o", "acme").exit_code == 0
    world.settle()
    again = sum(n - 1 for n in mails(world).values())
    assert again == MANY - known, "what went for sure goes only if somebody says so"
    assert world.progress("news").state == "finished"
    assert document(rollcall, "reconcile")["restored"] is False


def test_r19_what_was_not_sent_at_the_backup_or_since_is_sent(world: World, backup: Backup, rollcall: Rollcall) -> None:
    everybody(world)
    world.mail.on_recipient = lambda address, _times: None if address < "l2" else "451 later"
    world.announces()
    backup.take()
    world.settle()
    first = len(mails(world))
    assert 0 < first < MANY
    world.mail.on_recipient = lambda _address, _times: None
    backup.restore()
    starts_anew(world)
    world.settle()
    assert rollcall("restored", "--yes").exit_code == 0
    uncertain = world.progress("news").uncertain

    rollcall("mail", "resume")
    rollcall("announcements", "resume", "news", "-o", "acme")
    world.comes_to_rest()

    assert uncertain == MANY, "each was begun, whatever the server said"
    rollcall("announcements", "retry-failed", "--uncertain", "news", "-o", "acme")
    world.comes_to_rest()
    assert len(mails(world)) == MANY
    assert sum(mails(world).values()) == MANY + first, "asked for by name, those go again of whom it was uncertain"


def test_s10_notices_that_went_are_not_sent_again_either_though_their_policy_is_to_resend(
    world: World, backup: Backup, rollcall: Rollcall
) -> None:
    world.has_course("safety")
    everybody(world)
    world.asks_to_enrol("safety", "L1", "L2")
    backup.take()
    world.settle()
    asked = world.asks_to_enrol("safety", "L3")
    world.settle()
    assert len(world.mail.recipients) == 3
    backup.restore()
    starts_anew(world)
    world.settle()

    assert rollcall("restored", "--yes").exit_code == 0
    assert rollcall("mail", "resume").exit_code == 0
    world.send(asked)  # the platform sends again what came after the backup
    world.asks_to_enrol("safety", "L4")
    world.settle()

    assert Counter(world.mail.recipients) == {f"l{n}@acme.example": 1 for n in (1, 2, 3, 4)}
    assert world.list("SELECT reason FROM deliveries WHERE state = 'uncertain'") == ["restored"] * 3

    assert document(rollcall, "mail", "retry", "--since", "1h", "-o", "acme") == []
    document(rollcall, "mail", "retry", "--since", "1h", "--uncertain", "-o", "acme")
    world.settle()
    assert len(world.mail.recipients) == 7, "asked for by name, they go again"


def test_r20_what_was_scheduled_asks_and_who_got_it_does_not_get_it_again(
    world: World, backup: Backup, rollcall: Rollcall
) -> None:
    everybody(world)
    world.announces(send_at=(datetime.now(UTC) + timedelta(hours=1)).isoformat())
    backup.take()
    assert rollcall("announcements", "launch", "--now", "news", "-o", "acme").exit_code == 0
    world.settle()
    assert len(mails(world)) == MANY
    backup.restore()
    starts_anew(world)
    a_relay_looks(world)

    assert rollcall("restored", "--yes").exit_code == 0
    assert world.progress("news").state == "late"
    rollcall("mail", "resume")
    world.has_learners("newcomer")
    assert rollcall("announcements", "launch", "--now", "news", "-o", "acme").exit_code == 0
    world.settle()

    assert len(mails(world)) == MANY + 1
    assert set(mails(world).values()) == {1}
    assert world.progress("news").uncertain == MANY


def test_r19_the_servers_log_settles_what_redis_does_not_know(world: World, backup: Backup, rollcall: Rollcall) -> None:
    everybody(world)
    world.announces()
    backup.take()
    world.settle()
    ids = [str(message["Message-ID"]) for _, message in world.mail.taken]
    backup.restore()
    world.redis.flushdb()
    starts_anew(world)
    log = world.runtime.home / "mail.log"
    log.write_text(
        "".join(
            f"Nov 26 03:00:01 mx postfix/cleanup[1]: 9A1B2C{n:04X}: message-id={id_}\n"
            f"Nov 26 03:00:02 mx postfix/smtp[2]: 9A1B2C{n:04X}: to=<x@y.example>, status={status} (said)\n"
            for n, (id_, status) in enumerate(zip(ids, ["sent"] * (MANY - 1) + ["unknown"], strict=True))
        )
    )
    assert rollcall("restored", "--yes").exit_code == 0  # a person says so: nobody remembers

    said = document(rollcall, "mail", "sent-since", "--from-log", str(log))

    assert (said["mails"], said["accepted"], said["uncertain"], said["unmatched"]) == (MANY, MANY - 1, 1, 0)
    assert (said["lines"], said["kept"]) == (2 * MANY, True)
    assert Counter(world.list("SELECT reason FROM deliveries")) == {"in the log": MANY - 1, "restored": 1}
    counts = world.progress("news")
    assert (counts.state, counts.accepted, counts.uncertain, counts.pending) == ("paused", MANY - 1, 1, 0)
    rollcall("mail", "resume")
    rollcall("announcements", "resume", "news", "-o", "acme")
    world.settle()
    assert set(mails(world).values()) == {1}


def test_r19_a_log_also_settles_what_is_uncertain_without_a_restore(world: World, rollcall: Rollcall) -> None:
    world.has_learners("A", "B")
    world.mail.hangs_up = lambda address: address.startswith("a@")
    world.announces()
    world.comes_to_rest()
    assert world.progress("news").uncertain == 1
    sent = str(world.mail.taken[0][1]["Message-ID"]).strip("<>")
    world.execute("UPDATE deliveries SET state = 'uncertain', reason = 'ambiguous' WHERE state = 'accepted'")
    log = world.runtime.home / "main.log"
    log.write_text(f"2026-11-26 03:00:01 1tFabc-00000001Xyz-2Ab3 <= b@x.example P=esmtps S=4 id={sent}\n")

    said = document(rollcall, "mail", "sent-since", "--from-log", str(log))

    assert (said["accepted"], said["kept"]) == (1, False)
    assert world.progress("news").uncertain == 1


def test_r19_a_log_that_is_compressed_is_not_taken_for_an_empty_one(world: World, rollcall: Rollcall) -> None:
    log = world.runtime.home / "mail.log.1.gz"
    log.write_bytes(gzip.compress(b"hello\n"))

    done = rollcall("mail", "sent-since", "--from-log", str(log))

    assert done.exit_code == 1
    assert "zcat" in str(done.exception)


def test_r19_a_worker_that_runs_on_while_its_database_is_replaced_sends_nothing(world: World, backup: Backup) -> None:
    everybody(world)
    world.announces()
    backup.take()
    world.settle()
    backup.restore()
    world.redis.flushdb()

    world.settle()  # in the same process, which remembers

    assert set(mails(world).values()) == {1}


def test_r19_a_second_restore_of_the_same_backup_knows_what_went_in_between(
    world: World, backup: Backup, rollcall: Rollcall
) -> None:
    everybody(world)
    world.announces("one")
    backup.take()
    world.settle()
    backup.restore(keep=True)
    starts_anew(world)
    assert rollcall("restored", "--yes").exit_code == 0
    rollcall("mail", "resume")
    second = world.announces("two")
    world.settle()
    assert len(mails(world)) == 2 * MANY
    backup.restore()
    starts_anew(world)
    world.settle()

    seen = document(rollcall, "restored", exit_code=1)
    assert (seen["groups_unknown"], seen["mails_known"]) == (0, 2 * MANY)
    assert rollcall("restored", "--yes").exit_code == 0
    rollcall("mail", "resume")
    world.send(second)
    world.settle()
    rollcall("announcements", "resume", "one", "-o", "acme")
    world.settle()
    assert set(mails(world).values()) == {1}


def test_a_database_that_lost_nothing_is_never_taken_for_a_restored_one(world: World, rollcall: Rollcall) -> None:
    everybody(world)
    other = Witness(world.runtime.endpoints.redis_url, world.runtime.home / "elsewhere")
    for n in range(3):
        world.announces(f"news {n}")
        world.settle()
        starts_anew(world)
        with transaction(world.runtime.engine) as connection:
            assert not restored.notice_restore(connection, other)
            other.keep(connection)
        a_relay_looks(world)

    assert document(rollcall, "status")["mail_paused"] is None
    assert document(rollcall, "restored")["noticed"] is False
    assert document(rollcall, "reconcile")["restored"] is False
    assert document(rollcall, "restored")["settled"] is False, "nothing is decided without a yes"
    assert len(mails(world)) == 3 * MANY


@pytest.mark.serves
def test_r20_what_the_embedded_redis_alone_knows_of_is_found_by_each_command_that_looks(
    world: World, rollcall: Rollcall, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    everybody(world)
    monkeypatch.delenv("REDIS_URL")
    monkeypatch.setenv("ROLLCALL_EMBEDDED", "redis")
    monkeypatch.setenv("ROLLCALL_HOME", str(tmp_path / "home"))
    load_settings.cache_clear()
    assert document(rollcall, "reconcile")["restored"] is False
    assert not (tmp_path / "home" / "valkey").exists(), "nothing is made only to be asked"
    with runtime(load_settings(), "test", need=REDIS, make=True) as found:
        known = Witness(found.endpoints.redis_url, found.home)
        with transaction(world.runtime.engine) as connection:
            known.highest(connection)
        known.went(Beat(3, 1), pack(">q", 7))

        assert document(rollcall, "migrate")["restored"] is True
        for words in (["reconcile"], ["mail", "sent-since", "--from-log", "/dev/null"]):
            world.execute("UPDATE mail_control SET asks = false, paused_at = NULL, paused_by = NULL, why = NULL")
            rollcall(*words)
            assert document(rollcall, "status")["mail_paused"]["why"] == "restored", words

    [log] = (tmp_path / "home" / "valkey" / "appendonlydir").glob("*.incr.aof")
    log.write_bytes(b"garbage")
    world.execute("UPDATE mail_control SET asks = false, paused_at = NULL, paused_by = NULL, why = NULL")
    assert document(rollcall, "reconcile")["restored"] is False, "the home alone is asked if Redis cannot be"


def test_another_database_on_the_same_redis_is_not_taken_for_a_restored_one(world: World) -> None:
    everybody(world)
    world.announces()
    world.settle()
    a_relay_looks(world)
    world.execute("UPDATE mail_control SET installation = gen_random_uuid()")
    world.execute("UPDATE mail_pulses SET n = 0")
    starts_anew(world)

    world.announces("other")
    world.settle()

    assert len(mails(world)) == 2 * MANY


def test_a_home_that_cannot_be_written_or_read_ends_nothing(world: World) -> None:
    everybody(world)
    (world.runtime.home / FILE).mkdir()
    world.announces()
    world.settle()
    a_relay_looks(world)
    assert len(mails(world)) == MANY

    (world.runtime.home / FILE).rmdir()
    (world.runtime.home / FILE).write_text("[1")
    a_relay_looks(world)
    kept = json.loads((world.runtime.home / FILE).read_text())
    assert [sum(counts.values()) for counts in kept.values()] == [world.ask("SELECT sum(n) FROM mail_pulses")]


def count_calls(monkeypatch: pytest.MonkeyPatch, calls: Counter[str], *names: str) -> None:
    """Count how often these methods of the witness, each a command of Redis, are called."""

    def counting(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*said: Any) -> Any:
            calls[name] += 1
            return method(*said)

        return call

    for name in names:
        monkeypatch.setattr(Witness, name, counting(name, getattr(Witness, name)))


def test_a_group_costs_one_command_of_redis_and_no_statement_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(witness, "LOOK_SECONDS", 3600.0)
    everybody(world)
    world.announces("first")
    world.settle()  # and looks, which it does once
    marks = world.ask("SELECT sum(n) FROM mail_pulses")
    asked: Counter[str] = Counter()
    count_calls(monkeypatch, asked, "_say", "_in_redis")
    with counted(world.runtime.engine) as found:
        world.announces("second")
        world.settle()
    groups = world.ask("SELECT sum(n) FROM mail_pulses") - marks

    assert groups > 0
    assert asked == {"_say": groups}
    counts = {text: cost.runs for text, cost in found.items() if "mail_pulses" in text or "mail_control" in text}
    assert sum(runs for text, runs in counts.items() if "UPDATE mail_pulses" in text) == groups
    assert all("UPDATE mail_pulses" in text or "judged" in text or "finished_at" in text for text in counts), counts


def test_what_redis_missed_while_it_did_not_answer_it_is_told_with_the_next_group(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(witness, "AWAY_SECONDS", 0.0)
    found = Witness(world.runtime.endpoints.redis_url, world.runtime.home)
    with transaction(world.runtime.engine) as connection:
        assert not found.is_behind(connection)
    world.redis.client_pause(2000)
    found.went(Beat(0, 1), pack(">q", 1))
    found.went(Beat(0, 2), pack(">2q", 2, 3))
    world.redis.ping()  # answers when it does again

    found.went(Beat(1, 1), pack(">q", 4))

    (stream,) = list(world.redis.keys("rollcall:sent:*"))
    entries: Any = world.redis.xrange(stream)
    assert {fields[b"group"] for _, fields in entries} == {b"0:1", b"0:2", b"1:1"}


def test_no_older_moment_that_a_transaction_sees_is_taken_for_a_restored_database(world: World) -> None:
    found = Witness(world.runtime.endpoints.redis_url, world.runtime.home)
    with world.runtime.engine.connect().execution_options(isolation_level="REPEATABLE READ") as early:
        early.exec_driver_sql("SELECT 1 FROM mail_pulses")
        world.has_learners("A")
        world.announces()
        world.settle()
        assert len(world.mail.taken) == 1

        with pytest.raises(OperationalError, match="could not serialize"):
            found.is_behind(early)


def test_what_redis_remembers_is_bounded_and_names_nobody(world: World) -> None:
    everybody(world)
    world.announces()
    world.settle()

    (stream,) = list(world.redis.keys("rollcall:sent:*"))
    entries: Any = world.redis.xrange(stream)
    mails = [fields[b"mails"] for _, fields in entries]
    assert len({one[at : at + 8] for one in mails for at in range(0, len(one), 8)}) == MANY
    assert {name for _, fields in entries for name in fields} == {b"group", b"mails"}
    assert MOST_GROUPS * 200 * 8 <= 160_000_000


@pytest.mark.parametrize(
    ("counted_", "highest", "known", "missing"),
    [
        ({0: 5}, {0: 5}, {}, 0),
        ({0: 5}, {0: 9}, {0: {6, 7, 8, 9}}, 0),
        ({0: 5}, {0: 9}, {0: {7, 9}}, 2),
        ({0: 5}, {0: 9}, {}, 4),
        ({0: 5, 1: 0}, {0: 5, 1: 2}, {1: {1}}, 1),
        ({0: 5}, {0: (1 << 40) + 2}, {0: {6, (1 << 40) + 1}}, 1),
        ({0: 5}, {}, {}, 0),
    ],
)
def test_the_groups_that_nobody_knows_are_counted(
    counted_: dict[int, int], highest: dict[int, int], known: dict[int, set[int]], missing: int
) -> None:
    assert _missing(counted_, highest, known) == missing


def test_there_are_as_many_counts_as_shards(world: World) -> None:
    with transaction(world.runtime.engine) as connection:
        assert sorted(control.pulses(connection)) == list(range(SHARDS))
