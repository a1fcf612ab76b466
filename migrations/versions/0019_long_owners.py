"""Owners whose names are alike in their first 44 octets share no role.

A name is cut at 63 octets, so two such owners on one server were members of one role, and each read what row security
showed it of the other. A long name is known by its digest now; `migrations.isolation` takes
the rights of the role that was shared.
"""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

PEOPLE = """
CREATE OR REPLACE FUNCTION people() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT 'rollcall_people_of_' || CASE WHEN octet_length(owner) <= 44 THEN owner ELSE md5(owner) END
    FROM (SELECT CAST(pg_get_userbyid(relowner) AS text) AS owner
          FROM pg_class WHERE oid = CAST('organisations' AS regclass)) known
$$;
"""


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(PEOPLE)


def downgrade() -> None:
    raise RuntimeError("row security is not taken away: drop the database")
