"""A page of the ledger keeps room for what becomes of its mails: each row is written once more, and longer, when its
mail is settled.

If a row's next version lies on the same page, no index gets an entry for it (PostgreSQL's "heap-only tuples"). At 85,
most went to another page: settling took longer, and wrote more WAL and an index of twice the size. At 30 there is room
for a reply of 30 characters and an address of as many; of longer ones a part goes to other pages, as before. Pages that
are full already stay so. New months take what the partition of all others has.
"""

from alembic import op

revision = "0095"
down_revision = "0094"
branch_labels = None
depends_on = None

oldest = "0037"

_FILL = """
DO $$
DECLARE
    part name;
BEGIN
    FOR part IN SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid
                WHERE inhparent = 'deliveries'::regclass
    LOOP
        EXECUTE format('ALTER TABLE %I SET (fillfactor = {})', part);
    END LOOP;
END
$$;
"""


def upgrade() -> None:
    op.execute(_FILL.format(30))


def downgrade() -> None:
    op.execute(_FILL.format(85))
