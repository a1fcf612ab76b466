"""R19, R20, R26, R32: a backup and the archive of pgBackRest are restored elsewhere, as they were at a moment."""

from collections import Counter

import psutil
import pytest

from bench.mail.rollcall import ADDRESSES, mail_settings
from bench.mail.sink import Manners, RecordingSink, recording
from bench.system import Database, System, event, id_of, system
from tests.backups.pgbackrest import Server, repository
from tests.chaos.processes import Processes, processes
from tests.chaos.test_starts import told
from tests.commands.console import invoke_over
from tests.failover.load import BEGUN_AT_MOST, COMMANDS, SETTINGS, announce, command, enrolled, wait_for
from tests.servers.unpacked import wait_until

LEARNERS = 1000

#: Who start: these before the backup, these after it, these while the relay stands still, and these after the moment.
BACKED_UP, ARCHIVED, UNTOLD, LOST = range(4, 8), range(8, 12), range(12, 16), range(16, 20)

SETTLED = "SELECT count(*) {} FROM deliveries WHERE state IN ('accepted', 'uncertain')"
CHARGED = "SELECT l.id FROM consumptions JOIN learners l USING (organisation, learner)"
UNCERTAIN = """
    SELECT DISTINCT lower(email) FROM deliveries d
    JOIN learners l ON l.organisation = d.organisation AND l.learner = d.recipient WHERE state = 'uncertain'
"""


def starts(numbers: range) -> list[bytes]:
    """These learners start the course."""
    return [event("course.started", {"learner": id_of(number), "course": "started"}) for number in numbers]


def charges(on: System) -> list[str]:
    """Whose charges were told, in their order."""
    return [each["data"]["learner"] for each in told(on.redis) if each["type"] == "rollcall.seat.consumed"]


def those(*ranges: range) -> Counter[str]:
    """Each of these learners once."""
    return Counter(id_of(number) for numbers in ranges for number in numbers)


@pytest.mark.slow
def test_r19_r20_r26_r32_a_server_restored_elsewhere_to_a_moment_repeats_nothing() -> None:
    with (
        repository() as kept,
        system((first := kept.new()).url) as on,
        recording(on.home, manners=Manners(takes=0.01)) as sink,
        on.database("kept", LEARNERS) as database,
    ):
        settings = mail_settings(sink.port) | SETTINGS
        with processes(on, database, settings, 1, COMMANDS) as running:
            on.publish([*enrolled(20), *starts(BACKED_UP)])
            wait_for(running, "SELECT count(*) FROM consumptions", len(BACKED_UP))
            schedule(on, database, settings)
            announce(on, database, settings, "--everyone")
            wait_for(running, SETTLED.format("> 0"), True)
            kept.back_up(first)
            on.publish(starts(ARCHIVED))
            wait_for(running, "SELECT count(*) FROM consumptions", len(BACKED_UP) + len(ARCHIVED))
            wait_until(lambda: Counter(charges(on)) == those(BACKED_UP, ARCHIVED), "the charges to be told")
            moment, pending = a_moment_of_untold_charges(on, running)
            on.publish(starts(LOST))
            command(on, database, settings, "announcements", "launch", "soon", "--yes", "--no-check", "-o", "acme")
            wait_for(running, SETTLED.format(f">= {LEARNERS}"), True)
            wait_until(lambda: Counter(charges(on)) == those(BACKED_UP, ARCHIVED, UNTOLD, LOST), "the rest to be told")
            the_log_is_archived(first, running)
        first.kill()

        second = kept.restored(moment)
        on.database_url = second.url
        database.url = on.url_of(database.name)
        published = told(on.redis)
        assert invoke_over(on.environment(database, settings), "reconcile").exit_code == 1, "it asks"
        with processes(on, database, settings, 1, COMMANDS) as running:
            wait_for(running, "SELECT ordered = published AND published > 0 FROM publication", True)
            assert running.column("SELECT count(*) FROM deliveries WHERE state = 'pending'") == [pending]
            assert Counter(running.column(CHARGED)) == those(BACKED_UP, ARCHIVED, UNTOLD), "it is as it was then"
            command(on, database, settings, "restored", "--yes")
            assert running.rows("SELECT id, state::text FROM mailings WHERE id IN ('news', 'soon') ORDER BY id") == [
                ("news", "paused"),
                ("soon", "late"),
            ]
            command(on, database, settings, "mail", "resume")
            command(on, database, settings, "announcements", "resume", "news", "-o", "acme")
            wait_for(running, "SELECT finished_at IS NOT NULL FROM mailings WHERE id = 'news'", True)
            on.publish(starts(LOST))
            wait_for(running, "SELECT count(*) FROM consumptions", 16)
            wait_for(running, "SELECT ordered = published FROM publication", True)
            wait_for(running, "SELECT count(*) FROM outbox WHERE position IS NULL", 0)
            assert running.column("SELECT state::text FROM mailings WHERE id = 'soon'") == ["late"], "R20"
        for proof in (["verify"], ["seats", "verify"], ["reconcile"]):
            command(on, database, settings, *proof)
        goes_on(published, told(on.redis))
        nobody_gets_two(running, sink)


def schedule(on: System, database: Database, settings: dict[str, str]) -> None:
    """An announcement to everybody is to go out in a while."""
    words = ["--organisation", "acme", "--subject", "Soon", "--body", "Soon.", "--id", "soon", "--everyone"]
    command(on, database, settings, "announcements", "create", *words, "--send-at", "2099-12-01T09:00")
    command(on, database, settings, "announcements", "launch", "soon", "--yes", "--no-check", "-o", "acme")


def a_moment_of_untold_charges(on: System, running: Processes) -> tuple[str, int]:
    """A moment at which charges were committed that the relay had not published, and mail was on its way; how many
    mails were pending then."""
    relay = psutil.Process(running.running["relay"].pid)
    relay.suspend()
    on.publish(starts(UNTOLD))
    wait_for(running, "SELECT count(*) FROM consumptions", len(BACKED_UP) + len(ARCHIVED) + len(UNTOLD))
    ((moment, pending),) = running.rows(
        "SELECT clock_timestamp()::text, count(*) FROM deliveries WHERE state = 'pending'"
    )
    assert pending > 0, "the mailing is under way"
    relay.resume()
    return moment, pending


def the_log_is_archived(server: Server, running: Processes) -> None:
    """What was written so far is in the archive, as a minute later it would be by itself."""
    (segment,) = running.column("SELECT pg_walfile_name(pg_switch_wal())")
    wait_until(lambda: server.archived(segment), "the log to be archived")


def goes_on(before: list[dict[str, object]], after: list[dict[str, object]]) -> None:
    """The stream has what it had, and after it only what is new."""
    assert after[: len(before)] == before
    assert [one for one, times in Counter(each["id"] for each in after).items() if times > 1] == []


def nobody_gets_two(running: Processes, sink: RecordingSink) -> None:
    """Of either mailing, and nobody is lost."""
    selected = set(running.column(ADDRESSES))
    sink.settle()
    taken = Counter((mail.mailing, mail.recipient) for mail in sink.taken())
    assert set(taken.values()) == {1}
    lost = selected - {who for mailing, who in taken if mailing == "news"}
    assert lost <= set(running.column(UNCERTAIN))
    assert len(lost) <= BEGUN_AT_MOST
