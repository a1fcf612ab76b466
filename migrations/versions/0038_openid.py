"""People who sign in through an OpenID provider: an account is of what the provider knows them by."""

from alembic import op

revision = "0038"
down_revision = "0036"
branch_labels = None
depends_on = None

UP = """
ALTER TABLE accounts ADD COLUMN provider text, ADD COLUMN subject text,
    ADD CONSTRAINT accounts_provided CHECK ((provider IS NULL) = (subject IS NULL)
        AND (provider IS NULL OR password IS NULL AND totp IS NULL));
CREATE UNIQUE INDEX accounts_subject ON accounts (provider, subject) WHERE subject IS NOT NULL;
"""


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(UP)


def downgrade() -> None:
    op.execute("ALTER TABLE accounts DROP COLUMN provider, DROP COLUMN subject")
