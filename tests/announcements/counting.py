"""Whether the counts of an announcement add up, with one another and with the ledger."""

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
    return counts
