"""The look of an organisation's mail: its logo and its colour."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "ALTER TABLE organisations ADD COLUMN logo text, ADD COLUMN colour text CHECK (colour ~ '^#[0-9A-Fa-f]{6}$')"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE organisations DROP COLUMN logo, DROP COLUMN colour")
