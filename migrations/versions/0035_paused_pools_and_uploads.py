"""Pools can be paused by a person, who says why; and files that come through the API are kept until they are read."""

from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None

UP = """
ALTER TABLE pools ADD paused_at timestamptz, ADD paused_by text, ADD paused_why text;
CREATE INDEX inbox_decided_of ON inbox (organisation, seq) WHERE state IN ('released', 'discarded');
CREATE TABLE uploads (
    organisation int NOT NULL,
    upload bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    state text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'done', 'failed')),
    asked jsonb NOT NULL,
    done int NOT NULL DEFAULT 0,
    total int NOT NULL DEFAULT 0,
    result jsonb,
    problem text,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organisation, upload)
);
CREATE TABLE upload_blocks (
    organisation int NOT NULL,
    upload bigint NOT NULL,
    part text NOT NULL CHECK (part IN ('file', 'refused')),
    number int NOT NULL,
    block bytea NOT NULL,
    PRIMARY KEY (organisation, upload, part, number),
    FOREIGN KEY (organisation, upload) REFERENCES uploads ON DELETE CASCADE
);
ALTER TABLE uploads ALTER organisation SET (n_distinct = -0.001);
ALTER TABLE upload_blocks ALTER organisation SET (n_distinct = -0.001);
"""


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(UP)


def downgrade() -> None:
    op.execute("DROP TABLE upload_blocks, uploads; DROP INDEX inbox_decided_of")
    op.execute("ALTER TABLE pools DROP paused_at, DROP paused_by, DROP paused_why")
