"""R18, R19, R26, R33: three hosts with clocks minutes apart, which lose packets and are cut off in turn."""

import os
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bench.mail.letter import BODY, SUBJECT
from bench.mail.rollcall import ADDRESSES, mail_settings
from bench.system import Commands, course_for_everyone, event, id_of
from tests.chaos.conftest import say
from tests.chaos.processes import Processes, processes
from tests.chaos.test_starts import told
from tests.chaos.test_two_versions import CHARGED, EVERYWHERE, at_work, settle
from tests.failover.load import command, enrolled, wait_for
from tests.hosts.clocks import shifted
from tests.hosts.network import Network, network, servers
from tests.mailserver import start

#: Learners, each with a start, a notice and an announcement; how often each host is cut off, and for how many seconds:
#: for longer than a leader that is cut off may take to be replaced.
LEARNERS = int(os.environ.get("CHAOS_HOSTS", "5000"))
CUTS = int(os.environ.get("CHAOS_HOSTS_CUTS", "2"))
CUT_SECONDS, REPLACED_SECONDS = 12.0, 10.0

#: Seconds that the clock of each host is ahead, and packets of a hundred that each loses.
CLOCKS = (0, 420, -420)
LOST = 2

KINDS: Commands = {
    "ingress": ("ingress",),
    "relay": ("relay",),
    "tasks": ("pool", "tasks", "--threads", "2"),
    "mail": ("pool", "mail", "bulk", "--threads", "2"),
}
GROUP = 20
SETTINGS = {
    "ROLLCALL_EMBEDDED": "", "ROLLCALL_LEASE_SECONDS": "3", "ROLLCALL_OFFER_SECONDS": "1",
    "ROLLCALL_RETRY_SECONDS": "0.5", "ROLLCALL_MAIL_GROUP": str(GROUP),
}  # fmt: skip

_STATES = """
    SELECT m.kind, lower(l.email), d.state::text FROM deliveries d JOIN mailings m USING (organisation, mailing)
    JOIN learners l ON l.organisation = d.organisation AND l.learner = d.recipient WHERE d.state <> 'skipped'
"""

#: Which host leads: of the sessions with the lead, where they come from.
_LEADS = """
    SELECT host(client_addr) FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND granted AND application_name = 'rollcall relay lead'
"""


def loses_packets(on: Network, host: int) -> None:
    """Let a host lose some of the packets that come to it. Skips where it cannot."""
    nft = shutil.which("nft", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if nft is None:
        pytest.skip("no hosts that lose packets: they need nft")
    for words in (
        "add table inet lossy",
        "add chain inet lossy in { type filter hook input priority 0 ; }",
        f"add rule inet lossy in iifname eth0 numgen random mod 100 < {LOST} drop",
    ):
        subprocess.run([*on.host(host), nft, words], check=True, capture_output=True, text=True)


def leads(running: Processes, on: Network) -> int | None:
    """The host whose relay leads; none while the lead of one that is cut off has not come to its end."""
    found: list[Any] = running.column(_LEADS)
    return int(found[0].rpartition(".")[2]) - 1 if found else None


def run_everywhere(net: Network, running: Processes, folder: Path) -> None:
    """Start processes of every kind on each host, where the clock is wrong and packets are lost."""
    for host, ahead in enumerate(CLOCKS, start=1):
        loses_packets(net, host)
        told = [f"{name}={value}" for name, value in shifted(folder, ahead).items()]
        for kind, command_ in KINDS.items():
            name = f"{kind} {host}"
            running.places[name] = [*net.host(host), "env", *told]
            running.start(name, command_)
            at_work(running, name)


def cut_in_turn(net: Network, running: Processes, starts: list[bytes]) -> list[float]:
    """Send starts, and cut one host off after the other, every second time the one that leads; the seconds after which
    another led."""
    replaced: list[float] = []
    turns = CUTS * len(CLOCKS)
    portion = len(starts) // turns + 1
    for turn in range(turns):
        running.system.publish(starts[turn * portion : (turn + 1) * portion])
        leader = leads(running, net)
        cut = leader if leader is not None and turn % 2 == 0 else turn % len(CLOCKS) + 1
        other: int | None = cut
        began = time.monotonic()
        net.cut(cut)
        while (since := time.monotonic() - began) < CUT_SECONDS:
            running.watch(0.2)
            if cut == leader and other in {None, cut} and (other := leads(running, net)) not in {None, cut}:
                replaced.append(since)
        net.plug(cut)
    return replaced


def test_r18_r26_r33_hosts_cut_off_in_turn_cost_time_and_no_work(tmp_path: Path) -> None:
    with network(len(CLOCKS)) as net, servers(net, tmp_path / "home") as on, on.database("hosts", LEARNERS) as database:
        mail, controller = start(host=net.address)
        settings = mail_settings(mail.port) | SETTINGS | {"REDIS_URL": on.redis_url, "SMTP_URL": mail.url}
        with processes(on, database, settings, 1, {}) as running:
            run_everywhere(net, running, tmp_path)
            on.publish(enrolled(LEARNERS))
            wait_for(running, "SELECT count(*) FROM enrolments", LEARNERS)
            words = ["-o", "acme", "--everyone", "--subject", SUBJECT, "--body", BODY, "--id", "news"]
            command(on, database, settings, "announcements", "create", *words)
            command(on, database, settings, "announcements", "launch", "news", "--yes", "--no-check", "-o", "acme")
            on.publish([course_for_everyone("all")])
            starts = [
                event("course.started", {"learner": id_of(n), "course": "started"}) for n in range(1, LEARNERS + 1)
            ]
            starts *= 2
            Random(1).shuffle(starts)  # noqa: S311 - repeatable, not secret
            replaced = cut_in_turn(net, running, starts)
            settle(running)
            for proof in (["verify"], ["seats", "verify"], ["reconcile", "--organisation", "acme"]):
                command(on, database, settings, *proof)
            mailed = set(running.column(ADDRESSES))
            active = set(running.column("SELECT id FROM learners WHERE standing = 'active'"))
            everywhere = Counter(running.column(EVERYWHERE))
            charged = Counter(running.rows(CHARGED))
            states = {(kind, address): state for kind, address, state in running.rows(_STATES)}
        controller.stop()
        events = Counter(each["data"]["learner"] for each in told(on.redis) if each["type"] == "rollcall.seat.consumed")
    taken = Counter((str(message["Feedback-ID"]).split(":")[2], address.lower()) for address, message in mail.taken)
    uncertain = {about for about, state in states.items() if state == "uncertain"}
    say(
        f"hosts: {CUTS * len(CLOCKS)} times one of {len(CLOCKS)} cut off for {CUT_SECONDS:g} s, clocks {max(CLOCKS)} s"
        f" before and after, {LOST} % of the packets lost; leaders replaced after"
        f" {', '.join(f'{seconds:.1f}' for seconds in replaced)} s; {taken.total():,} mails, {len(uncertain)} uncertain"
    )
    assert replaced
    assert max(replaced) <= REPLACED_SECONDS
    assert states.keys() == {(kind, address) for kind in ("announcement", "enrolment") for address in mailed}
    assert states.keys() - uncertain <= taken.keys() <= states.keys(), "nobody is lost"
    assert {n for (kind, _), n in taken.items() if kind == "announcement"} == {1}, "nobody gets an announcement twice"
    assert len(uncertain) <= CUTS * len(CLOCKS) * 2 * GROUP
    assert set(everywhere.values()) == {1}
    assert len(everywhere) == LEARNERS
    assert set(charged.values()) == {1}
    assert len(charged) == len(active)
    assert events == dict.fromkeys(active, 1), "each charge is told once"
