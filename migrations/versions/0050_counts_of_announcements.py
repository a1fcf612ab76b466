"""How the deliveries of an announcement stand is kept once it is closed: a list of announcements reads no deliveries.

Those that are closed already are counted by the relay, one after the other.
"""

from alembic import op

from migrations.indexes import create

revision = "0050"
down_revision = "0049"
branch_labels = None
depends_on = None

oldest = "0037"


def upgrade() -> None:
    op.execute("ALTER TABLE mailings ADD COLUMN counts jsonb")
    op.execute(
        "COMMENT ON COLUMN mailings.counts IS"
        " 'of an announcement that is closed: how its deliveries stand; null: they are counted'"
    )
    create(
        {
            "mailings_uncounted": "ON mailings (organisation, mailing)"
            " WHERE kind = 'announcement' AND finished_at IS NOT NULL AND counts IS NULL"
        }
    )


def downgrade() -> None:
    op.execute("DROP INDEX mailings_uncounted")
    op.execute("ALTER TABLE mailings DROP COLUMN counts")
