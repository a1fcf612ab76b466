"""Who may do what: tokens of programs."""

from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

UP = """
CREATE TABLE tokens (
    token int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    hash bytea NOT NULL UNIQUE,
    role text NOT NULL CHECK (role IN ('operator', 'admin', 'reader')),
    organisations text[],
    made_by text NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    used_at timestamptz,
    revoked_at timestamptz,
    revoked_by text
);
CREATE UNIQUE INDEX tokens_name ON tokens (name) WHERE revoked_at IS NULL;
"""


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(UP)


def downgrade() -> None:
    op.execute("DROP TABLE tokens")
