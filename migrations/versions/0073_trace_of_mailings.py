"""Mailings carry the trace of what caused them."""

from alembic import op

revision = "0073"
down_revision = "0072"
branch_labels = None
depends_on = None

oldest = "0037"


def upgrade() -> None:
    op.execute("ALTER TABLE mailings ADD traceparent text")
    op.execute(
        "ALTER TABLE mailings ALTER traceparent SET DEFAULT nullif(current_setting('rollcall.traceparent', true), '')"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE mailings DROP traceparent")
