"""The relay is told what there is to do, and work that was set aside is tried again by itself after a while."""

from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

#: What was written is announced by its table. Where a piece of work has ended there is room for another, and what it
#: belonged to may have ended with it.
FUNCTION = """
CREATE OR REPLACE FUNCTION wake_relay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        PERFORM pg_notify('rollcall_relay', kind) FROM (
            SELECT DISTINCT unnest(CASE split_part(actor, '.', 1)
                WHEN 'enrolments' THEN '{work,fanouts}'
                WHEN 'mail' THEN '{work,mailings}'
                WHEN 'announcements' THEN '{work,mailings}'
                ELSE '{work}'
            END::text[]) AS kind FROM changed) kinds;
    ELSIF EXISTS (SELECT FROM changed) THEN
        PERFORM pg_notify('rollcall_relay', TG_TABLE_NAME);
    END IF;
    RETURN NULL;
END
$$
"""
BEFORE = """
CREATE OR REPLACE FUNCTION wake_relay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM changed) THEN
        NOTIFY rollcall_relay;
    END IF;
    RETURN NULL;
END
$$
"""


def upgrade() -> None:
    op.execute(FUNCTION)
    op.execute("UPDATE work SET due_at = now(), since = now() WHERE state = 'failing'")


def downgrade() -> None:
    op.execute(BEFORE)
    op.execute("UPDATE work SET due_at = 'infinity' WHERE state = 'failing'")
