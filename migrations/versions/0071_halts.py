"""What is not to be begun: the work of an organisation, a kind of work, or both, because somebody or a fuse says so."""

from alembic import op

revision = "0071"
down_revision = "0070"
branch_labels = None
depends_on = None

oldest = "0037"

UP = """
CREATE TABLE halts (
    organisation int NOT NULL,
    kind text NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    by_whom text NOT NULL,
    why text NOT NULL,
    is_fuse boolean NOT NULL DEFAULT false,
    PRIMARY KEY (organisation, kind)
);
ALTER TABLE halts ALTER organisation SET (n_distinct = -0.001);
CREATE FUNCTION halted(organisation int, kind text) RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT EXISTS (
        SELECT FROM halts h
        WHERE h.organisation IN (0, halted.organisation) AND h.kind IN ('', halted.kind))
$$;
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute("DROP FUNCTION halted")
    op.execute("DROP TABLE halts")
