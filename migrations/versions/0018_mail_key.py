"""By what addresses are compared: without regard to case, by a rule that no database's locale changes.

In a Turkish locale lower('I') is a dotless i: mail went to a suppressed address that was written in capitals.
"""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

FUNCTION = """
CREATE FUNCTION mail_key(address text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT lower(address COLLATE "C")
$$;
COMMENT ON FUNCTION mail_key IS 'by what addresses are compared, whatever the locale; suppressions are kept by it';
"""


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(FUNCTION)


def downgrade() -> None:
    op.execute("DROP FUNCTION mail_key")
