"""The schema says which code can still work with it, so that old code and new work side by side."""

from alembic import op

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None

oldest = "0037"


def upgrade() -> None:
    """Add a column to the table of one row."""
    op.execute("ALTER TABLE alembic_version ADD COLUMN oldest text")
    op.execute(
        "COMMENT ON COLUMN alembic_version.oldest IS 'the oldest code that can work with this schema, by the revision"
        " that it knows'"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE alembic_version DROP COLUMN oldest")
