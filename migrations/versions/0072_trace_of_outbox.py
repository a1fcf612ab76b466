"""Events out carry the trace of what caused them."""

from alembic import op

revision = "0072"
down_revision = "0071"
branch_labels = None
depends_on = None

oldest = "0037"


def upgrade() -> None:
    op.execute("ALTER TABLE outbox ADD traceparent text")
    op.execute(
        "ALTER TABLE outbox ALTER traceparent SET DEFAULT nullif(current_setting('rollcall.traceparent', true), '')"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE outbox DROP traceparent")
