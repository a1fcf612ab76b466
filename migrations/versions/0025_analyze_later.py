"""Small tables are not analysed by themselves.

A table that was analysed while each organisation had one row lets the planner believe that an organisation is one row.
Every index that begins with the organisation is then as good as the right one, and each look-up reads all that an
organisation has. Without statistics it plans well; with those of some thousand rows it does, too.
"""

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

#: Tables with more than one index that begins with the organisation.
TABLES = """
    SELECT c.oid::regclass FROM pg_class c
    WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace AND 1 < (
        SELECT count(*) FROM pg_index i JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
        WHERE i.indrelid = c.oid AND a.attname = 'organisation')
"""
SET = """
DO $$
DECLARE of_organisations regclass;
BEGIN
    FOR of_organisations IN {tables} LOOP
        EXECUTE format('ALTER TABLE %s {what}', of_organisations);
    END LOOP;
END
$$
"""


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(
        SET.format(tables=TABLES, what="SET (autovacuum_analyze_threshold = 5000)").encode()
    )


def downgrade() -> None:
    op.get_bind().connection.cursor().execute(
        SET.format(tables=TABLES, what="RESET (autovacuum_analyze_threshold)").encode()
    )
