"""Announcements that are paused are found at once, for the page that lists what is on its way of everybody."""

from alembic import op

from migrations.indexes import create

revision = "0086"
down_revision = "0085"
branch_labels = None
depends_on = None

oldest = "0037"

#: Built before, while mail is sent.
indexes = {"mailings_paused": "ON mailings (organisation, mailing) WHERE kind = 'announcement' AND state = 'paused'"}


def upgrade() -> None:
    create(indexes)


def downgrade() -> None:
    op.execute("DROP INDEX mailings_paused")
