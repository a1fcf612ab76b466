"""A page of the ledger keeps room for what becomes of its mails: each row is written once more, and longer, when its
mail is settled.

If a row's next version lies on the same page, no index gets an entry for it (PostgreSQL's "heap-only tuples"). At 85,
nearly all went to another page: settling took longer, and wrote more WAL and an index of twice the size. The rows on
pages that are full already stay there; months to come are made as the partition for all others is.
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
    op.execute(_FILL.format(40))


def downgrade() -> None:
    op.execute(_FILL.format(85))
