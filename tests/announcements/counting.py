"""Whether the counts of an announcement add up, with one another and with the ledger."""

from collections import Counter
from dataclasses import asdict

from tasks.announcements import Progress
from tests.world import World


def adds_up(world: World, announcement: str = "news") -> Progress:
    """Assert that selected is the sum of its parts and the number of rows in the ledger; the counts (R18)."""
    counts = world.progress(announcement)
    parts = counts.accepted + sum(counts.skipped.values()) + counts.failed + counts.cancelled
    assert counts.selected == parts + counts.uncertain + counts.pending, counts
    assert counts.selected == world.ask(
        "SELECT count(*) FROM deliveries JOIN mailings USING (organisation, mailing) WHERE id = :id", id=announcement
    )
    assert told(counts) == in_the_ledger(world, announcement), "what is kept is what there is"
    return counts


def told(counts: Progress) -> dict[str, int]:
    """The counts, by state; those that are skipped by their reason."""
    said = asdict(counts)
    parts = {name: said[name] for name in ("accepted", "failed", "cancelled", "uncertain", "pending") if said[name]}
    return parts | {f"skipped {reason}": n for reason, n in counts.skipped.items()}


def in_the_ledger(world: World, announcement: str) -> dict[str, int]:
    """The same, counted one by one."""
    return dict(
        Counter(
            f"skipped {reason}" if state == "skipped" else state
            for state, reason in world.rows(
                """
                SELECT CAST(d.state AS text), d.reason FROM deliveries d JOIN mailings m USING (organisation, mailing)
                WHERE m.id = :id
                """,
                id=announcement,
            )
        )
    )
