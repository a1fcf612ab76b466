"""Tell the planner that an organisation has many rows, whatever a sample says.

A table that was analysed while each organisation had one row lets the planner believe that an organisation is one row.
Every index that begins with the organisation is then as good as the right one, and each look-up reads all that an
organisation has. `n_distinct` is what ANALYZE writes in place of what it estimates. It takes the place of 0025, which
kept small tables from being analysed, but only until somebody did it by hand.
"""

import importlib

from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

later = importlib.import_module("migrations.versions.0025_analyze_later")

#: Columns that say whose a row is. Of a thousand rows one organisation is assumed; those with more are found by ANALYZE
#: among the most common values.
SET = """
DO $$
DECLARE of_organisations regclass;
BEGIN
    FOR of_organisations IN
        SELECT a.attrelid::regclass FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        WHERE a.attname = 'organisation' AND a.atttypid = 'int'::regtype AND c.relkind = 'r'
          AND c.relnamespace = current_schema()::regnamespace AND c.relname <> 'organisations'
        ORDER BY c.relname
    LOOP
        EXECUTE format('ALTER TABLE %s ALTER organisation {what}', of_organisations);
        IF (SELECT reltuples FROM pg_class WHERE oid = of_organisations) > 0 THEN
            EXECUTE format('ANALYZE %s', of_organisations);
        END IF;
    END LOOP;
END
$$
"""


def upgrade() -> None:
    later.downgrade()
    _execute(SET.format(what="SET (n_distinct = -0.001)"))


def downgrade() -> None:
    _execute(SET.format(what="RESET (n_distinct)"))
    later.upgrade()


def _execute(statement: str) -> None:
    op.get_bind().connection.cursor().execute(statement.encode())
