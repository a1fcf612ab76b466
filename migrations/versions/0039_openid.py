"""People who sign in through an OpenID provider: an account is of what the provider knows them by."""

from alembic import op

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None

oldest = "0037"

#: Accounts are few: a look at all of them takes no time.
UP = """
ALTER TABLE accounts ADD COLUMN provider text, ADD COLUMN subject text;
-- squawk-ignore constraint-missing-not-valid
ALTER TABLE accounts ADD CONSTRAINT accounts_provided CHECK ((provider IS NULL) = (subject IS NULL)
        AND (provider IS NULL OR password IS NULL AND totp IS NULL));
-- squawk-ignore require-concurrent-index-creation
CREATE UNIQUE INDEX accounts_subject ON accounts (provider, subject) WHERE subject IS NOT NULL;
"""


def upgrade() -> None:
    op.execute(UP)


def downgrade() -> None:
    op.execute("ALTER TABLE accounts DROP COLUMN provider, DROP COLUMN subject")
