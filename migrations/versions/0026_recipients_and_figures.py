"""A warning's figures have a column of their own, and it is said in one place which recipients are admins.

An audience is then an audience and nothing else. A recipient is a number: a learner's own, or, of a notice to the
organisation's admins, one below zero.
"""

from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

UP = """
ALTER TABLE mailings ADD figures jsonb;
UPDATE mailings SET figures = audience, audience = DEFAULT WHERE kind = 'seats';
COMMENT ON COLUMN mailings.figures IS 'of a warning of seats: how much of the pool is used';
COMMENT ON COLUMN mailings.audience IS 'of an announcement: whom its admin named';

CREATE FUNCTION is_admin(recipient int) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT recipient < 0
$$;
COMMENT ON FUNCTION is_admin IS 'whether a recipient of a mailing is an admin, and no learner';
"""

DOWN = """
DROP FUNCTION is_admin;
COMMENT ON COLUMN mailings.audience IS NULL;
UPDATE mailings SET audience = figures WHERE kind = 'seats';
ALTER TABLE mailings DROP figures;
"""


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(UP)


def downgrade() -> None:
    op.get_bind().connection.cursor().execute(DOWN)
