"""Fan-outs carry the trace of what caused them."""

from alembic import op

revision = "0074"
down_revision = "0073"
branch_labels = None
depends_on = None

oldest = "0037"


def upgrade() -> None:
    op.execute("ALTER TABLE fanouts ADD traceparent text")
    op.execute(
        "ALTER TABLE fanouts ALTER traceparent SET DEFAULT nullif(current_setting('rollcall.traceparent', true), '')"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE fanouts DROP traceparent")
