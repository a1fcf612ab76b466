"""Work carries the trace of what caused it."""

from alembic import op

revision = "0075"
down_revision = "0074"
branch_labels = None
depends_on = None

oldest = "0037"


def upgrade() -> None:
    op.execute("ALTER TABLE work ADD traceparent text")
    op.execute(
        "ALTER TABLE work ALTER traceparent SET DEFAULT nullif(current_setting('rollcall.traceparent', true), '')"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE work DROP traceparent")
