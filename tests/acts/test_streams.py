"""Exports as acts are streamed: however many rows there are, few are held at once. Pages cost what they show."""

import tracemalloc
from typing import Any

from tasks.acts import announcements, reports, seats, suppressions
from tasks.reports import Format, Tab
from tests.acts.asking import ask
from tests.scale.explained import explained
from tests.scale.large import LEARNERS, has_a_large_neighbour
from tests.world import World

#: Bytes that may be held at once: a block, what it is made of, and what is imported meanwhile.
HELD = 1_000_000

#: What there is besides: suppressions, and an announcement with a delivery to each learner.
FILL = (
    "INSERT INTO suppressions (organisation, address, reason) SELECT 1, email, 'by hand' FROM learners",
    """
    INSERT INTO mailings (organisation, kind, id, state, policy, subject, finished_at)
    VALUES (1, 'announcement', 'news', 'finished with failures', 'hold', 'News', now())
    """,
    """
    INSERT INTO deliveries (organisation, mailing, recipient, state, reason, reply, settled_at)
    SELECT 1, mailing, learner, 'failed', 'refused', 'no', now()
    FROM mailings CROSS JOIN learners WHERE kind = 'announcement'
    """,
)


def test_r29_an_export_holds_little_however_long_it_is_and_a_page_reads_no_more_than_it_shows(world: World) -> None:
    world.has_organisation()
    has_a_large_neighbour(world)
    for statement in FILL:
        world.execute(statement)
    exports: dict[str, Any] = {
        "training": (reports.training, reports.TrainingExport(Tab.ACTIVE, Format.JSONL)),
        "history": (reports.history, reports.HistoryExport(Tab.ACTIVE, Format.CSV)),
        "ledger": (seats.export, seats.LedgerExport(format=Format.JSONL)),
        "recipients": (announcements.export, announcements.RecipientsExport("news", format=Format.JSONL)),
        "suppressions": (suppressions.export, suppressions.SuppressionsExport(Format.CSV)),
    }
    lines, held, opened = {}, {}, world.runtime.engine.pool.status()
    for name, (act, asked) in exports.items():
        stream = ask(world, act, asked)
        assert world.runtime.engine.pool.status() == opened, "nothing is open before the first block is taken"
        tracemalloc.start()
        lines[name] = sum(block.count(b"\n") for block in stream.blocks)
        held[name] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

    assert {name: n for name, n in lines.items() if n < LEARNERS} == {}
    assert {name: n for name, n in held.items() if n > HELD} == {}

    pages: dict[str, Any] = {
        "announcements": (announcements.list_, announcements.AnnouncementsPage()),
        "ledger": (seats.ledger, seats.LedgerPage(limit=10)),
        "recipients": (announcements.recipients, announcements.RecipientsPage("news", limit=10)),
        "suppressions": (suppressions.list_, suppressions.SuppressionsPage(limit=10)),
    }
    read = {}
    for name, (act, asked) in pages.items():
        with explained(world.runtime.engine) as costs:
            ask(world, act, asked)
        read[name] = max(cost.rows for statement, cost in costs.items() if "LIMIT" in statement)
    assert {name: n for name, n in read.items() if n > LEARNERS // 10} == {}
