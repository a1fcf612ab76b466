"""An audience of everyone is counted by the few whom no mail may go to, for the page that launches an announcement.

Who is inactive is in an index already. These add who has no address, and who lacks a name.
"""

from alembic import op

from migrations.indexes import create

revision = "0087"
down_revision = "0086"
branch_labels = None
depends_on = None

oldest = "0037"

_EMPTY = r"coalesce({}, '') ~ '^[\x01-\x20\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]*$'"

#: Built before, while learners come and change.
indexes = {
    "learners_unaddressed": "ON learners (organisation, learner)"
    " WHERE standing = 'active' AND coalesce(email, '') = ''",
    "learners_nameless": "ON learners (organisation, learner) WHERE standing = 'active'"
    f" AND ({_EMPTY.format('first_name')} OR {_EMPTY.format('last_name')})",
}


def upgrade() -> None:
    create(indexes)


def downgrade() -> None:
    op.execute("DROP INDEX learners_unaddressed, learners_nameless")
