"""How the deliveries of an announcement stand is kept once it is closed: a list of announcements reads no deliveries.

Those that are closed already are counted by the relay, one after the other. What is kept holds for one closing: a
process of before, which knows nothing of it, may try the failed again.
"""

from alembic import op

from migrations.indexes import create

revision = "0050"
down_revision = "0049"
branch_labels = None
depends_on = None

oldest = "0037"


def upgrade() -> None:
    op.execute("ALTER TABLE mailings ADD COLUMN counts jsonb, ADD COLUMN counted_at timestamptz")
    op.execute("COMMENT ON COLUMN mailings.counts IS 'how its deliveries stood at counted_at, by state and reason'")
    op.execute(
        "COMMENT ON COLUMN mailings.counted_at IS"
        " 'of an announcement: finished_at as its deliveries were counted; any other: they are counted anew'"
    )
    create(
        {
            "mailings_uncounted": "ON mailings (organisation, mailing)"
            " WHERE kind = 'announcement' AND finished_at IS NOT NULL"
            " AND counted_at IS DISTINCT FROM finished_at"
        }
    )


def downgrade() -> None:
    op.execute("DROP INDEX mailings_uncounted")
    op.execute("ALTER TABLE mailings DROP COLUMN counts, DROP COLUMN counted_at")
