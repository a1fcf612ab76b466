"""Requests that say which they are."""

from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

UP = """
CREATE TABLE idempotency_keys (
    key bytea PRIMARY KEY,
    asked bytea NOT NULL,
    request uuid NOT NULL DEFAULT gen_random_uuid(),
    status smallint,
    answer bytea,
    at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idempotency_keys_oldest ON idempotency_keys (at);
"""


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(UP)


def downgrade() -> None:
    op.execute("DROP TABLE idempotency_keys")
