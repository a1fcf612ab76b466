"""Every process on every host says that it runs, and all of them together count."""

from alembic import op

revision = "0070"
down_revision = "0062"
branch_labels = None
depends_on = None

oldest = "0037"

UP = """
CREATE TABLE processes (
    process uuid PRIMARY KEY,
    role text NOT NULL,
    host text NOT NULL,
    pid int NOT NULL,
    release text NOT NULL,
    queues text[] NOT NULL,
    leads boolean NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now(),
    busy_with text
);
CREATE TABLE counted (
    series text PRIMARY KEY,
    n double precision NOT NULL
) WITH (fillfactor = 50);
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute("DROP TABLE counted, processes")
