r"""Who lacks a name is told from most others by a character: only a name that begins with none of ASCII's is matched.

The index is written for each learner who is active, so the two regular expressions were a part of every import.
"""

from alembic import op

from migrations.indexes import create

revision = "0094"
down_revision = "0093"
branch_labels = None
depends_on = None

oldest = "0037"

_EMPTY = (
    r"(ascii(coalesce({0}, '')) NOT BETWEEN 33 AND 126"
    r" AND coalesce({0}, '') ~ '^[\x01-\x20\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]*$')"
)

#: Built before, while learners come and change.
indexes = {
    "learners_without_a_name": "ON learners (organisation, learner) WHERE standing = 'active'"
    f" AND ({_EMPTY.format('first_name')} OR {_EMPTY.format('last_name')})"
}


def upgrade() -> None:
    create(indexes)
    # It waits for its lock only briefly, as every revision does, and then writes the catalogue alone.
    op.execute("-- squawk-ignore require-concurrent-index-deletion\nDROP INDEX learners_nameless;")


def downgrade() -> None:
    empty = r"coalesce({}, '') ~ '^[\x01-\x20\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]*$'"
    op.execute(
        "CREATE INDEX learners_nameless ON learners (organisation, learner) WHERE standing = 'active'"
        f" AND ({empty.format('first_name')} OR {empty.format('last_name')})"
    )
    op.execute("DROP INDEX learners_without_a_name")
