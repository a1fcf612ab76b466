"""Reports: a cell that no spreadsheet takes for a formula, however it is disguised and wherever the cell is cut."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

#: Signs that begin a formula (full-width and small forms are as good), behind anything a spreadsheet may skip: spaces,
#: quotes, punctuation, invisible characters. And not only where the cell begins: where a list separator is a semicolon,
#: as it is in most of Europe, or a tab, a spreadsheet cuts there, and at the end of each line.
SAFE = r"""
CREATE OR REPLACE FUNCTION spreadsheet_safe(cell text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN cell ~ '^[0-9A-Za-z][^;[:cntrl:]]*$' THEN cell ELSE regexp_replace(
        cell,
        '(?<![^;\t\r\n])(?=[\x01-/:-@[-`{-\u00a0\u00ad\u2000-\u206f\u3000\ufeff]*[-=+@﹢﹣﹦﹫＋－＝＠])|^(?=[[:cntrl:]])',
        '''', 'g'
    ) END
$$;
"""


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(SAFE)


def downgrade() -> None:
    """Nothing: the code before this works with the stricter function as well."""
