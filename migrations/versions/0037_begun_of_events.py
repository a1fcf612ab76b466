"""How far a piece of work has begun may be the number of an event, of which there are more than recipients."""

from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Widen the column, in a table that is as long as what is to be done."""
    op.execute("ALTER TABLE work ALTER COLUMN begun TYPE bigint")
    op.execute(
        "COMMENT ON COLUMN work.begun IS 'mail: the last recipient whose sending has begun, unless every outcome is"
        " written; of events, the last that somebody began to take in its turn'"
    )


def downgrade() -> None:
    raise RuntimeError("what is stored may be more than the narrower column holds: drop the database")
