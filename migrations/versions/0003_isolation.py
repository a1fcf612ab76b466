"""Whom row security is for, and what it asks (R31).

Row security itself is no step in the history of the schema but holds for all of it: `migrations.isolation` brings
whatever the migrations made under it, so that none of them need remember to.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

#: Each owner of a schema has a role of its own: two Rollcalls in one cluster, with users of their own, share no way in.
FUNCTIONS = """
CREATE FUNCTION people() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CAST(CAST('rollcall_people_of_' || pg_get_userbyid(relowner) AS name) AS text)
    FROM pg_class WHERE oid = CAST('organisations' AS regclass)
$$;
COMMENT ON FUNCTION people IS 'the role with the rights of an organisation''s people';

CREATE FUNCTION served() RETURNS int LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT CAST(nullif(current_setting('rollcall.organisation', true), '') AS int)
$$;
COMMENT ON FUNCTION served IS 'the organisation whose people this transaction serves, or null: then they see nothing';
"""


def upgrade() -> None:
    op.get_bind().connection.cursor().execute(FUNCTIONS)


def downgrade() -> None:
    raise RuntimeError("row security is not taken away: drop the database")
