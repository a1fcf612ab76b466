"""Lists in pages: announcements are found among the notices, which are far more, and suppressions have a number, so
that no cursor holds an address."""

from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE suppressions ADD number bigint GENERATED ALWAYS AS IDENTITY;
        CREATE UNIQUE INDEX suppressions_in_order ON suppressions (organisation, number);
        CREATE INDEX mailings_announcements ON mailings (organisation, mailing) WHERE kind = 'announcement'
        """
    )


def downgrade() -> None:
    op.execute("DROP INDEX mailings_announcements; ALTER TABLE suppressions DROP number")
