"""Row security for what serves people: of every table they see and change the rows of their organisation alone (R31).

It concerns whoever acts as the role `people()`, as `config.database.serve_people` makes a transaction do. Workers and
operators act as the owner of the tables, whom it does not concern: their plans stay as they are.
"""

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from config.errors import UserError

#: What people may do besides reading: what the commands about one organisation write, and the pages of links in mail.
WRITES = {
    "audit": ["INSERT"],
    "audit_refusals": ["INSERT", "UPDATE"],
    "mailings": ["INSERT", "UPDATE", "DELETE"],
    "mailing_changes": ["INSERT", "DELETE"],
    "deliveries": ["INSERT", "UPDATE"],
    "attempts": ["INSERT"],
    "settled_reviews": ["INSERT"],
    "work": ["INSERT", "UPDATE"],
    "unsubscribed": ["INSERT", "DELETE"],
    "suppressions": ["INSERT", "DELETE"],
    "lifted_suppressions": ["INSERT", "UPDATE"],
    "replays": ["INSERT"],
    "webhooks": ["INSERT", "UPDATE", "DELETE"],
    "uploads": ["INSERT", "UPDATE", "DELETE"],
    "upload_blocks": ["INSERT", "DELETE"],
    "counts": ["INSERT", "UPDATE"],
}

#: SQLSTATEs where a role may not be made, granted or taken on, is not there, or was made by somebody else meanwhile.
NO_ROLE = {"42501", "42704", "22023", "42710", "23505"}

#: What is missing of row security, as statements. A table has its organisation's number or, where what comes in is
#: kept, the id.
_MISSING = """
WITH found AS (
    SELECT c.oid AS relation, quote_ident(c.relname) AS name, c.relkind = 'v' AS is_view, c.relrowsecurity AS secured,
           coalesce('security_invoker=true' = ANY(c.reloptions), false) AS by_invoker,
           CASE a.atttypid WHEN CAST('int' AS regtype) THEN 'served()'
                ELSE '(SELECT o.id FROM organisations o WHERE o.organisation = served())' END AS own
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'organisation' AND NOT a.attisdropped
    WHERE c.relnamespace = CAST(quote_ident(current_schema()) AS regnamespace) AND c.relkind IN ('r', 'p', 'v')
), role AS (
    SELECT oid AS role, quote_ident(rolname) AS people FROM pg_roles WHERE rolname = people()
), granted AS (
    SELECT name, 'SELECT' AS privilege FROM found
    UNION ALL SELECT * FROM unnest(CAST(:tables AS text[]), CAST(:privileges AS text[]))
)
SELECT format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', name) FROM found WHERE NOT is_view AND NOT secured
UNION ALL
SELECT format('DROP POLICY IF EXISTS own_organisation ON %1$s;'
              'CREATE POLICY own_organisation ON %1$s TO %2$s USING (organisation = %3$s)', name, people, own)
FROM found, role
WHERE NOT is_view AND NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = relation AND role = ANY(polroles))
UNION ALL
SELECT format('ALTER VIEW %s SET (security_invoker = true)', name) FROM found WHERE is_view AND NOT by_invoker
UNION ALL
SELECT format('GRANT %s ON %s TO %s', privilege, name, people)
FROM found JOIN granted USING (name), role WHERE NOT has_table_privilege(role, relation, privilege)
UNION ALL
SELECT format('GRANT USAGE ON SCHEMA %I TO %s', current_schema(), people)
FROM role WHERE NOT has_schema_privilege(role, current_schema(), 'USAGE')
UNION ALL
SELECT format('REVOKE ALL ON ALL TABLES IN SCHEMA %1$I FROM %2$I; REVOKE ALL ON SCHEMA %1$I FROM %2$I',
              current_schema(), shared.rolname)
FROM pg_roles shared JOIN pg_class o ON o.oid = CAST('organisations' AS regclass)
WHERE shared.rolname = CAST('rollcall_people_of_' || pg_get_userbyid(o.relowner) AS name) AND shared.rolname <> people()
  AND has_table_privilege(shared.oid, o.oid, 'SELECT')
"""


class RoleRefused(UserError):
    """We may not make the role of an organisation's people; the message says what an administrator is to run."""


def isolate(connection: Connection) -> None:
    """Bring every table and view that has organisations under row security, and do only what is missing of it; may be
    done in several databases of one cluster at once. Raises `RoleRefused`."""
    if connection.scalar(text("SELECT to_regproc('people') IS NULL")):
        return  # a revision from before there was such a role
    _ensure_role(connection)
    writes = [(table, privilege) for table, privileges in WRITES.items() for privilege in privileges]
    missing = {"tables": [table for table, _ in writes], "privileges": [privilege for _, privilege in writes]}
    for statement in connection.scalars(text(_MISSING), missing).all():
        connection.connection.cursor().execute(statement)


def _ensure_role(connection: Connection) -> None:
    """See to it that the role is there and that we may act as it."""
    people, us = connection.execute(text("SELECT quote_ident(people()), quote_ident(current_user)")).one()
    act = f"SET LOCAL ROLE {people}"
    make = [f"CREATE ROLE {people} NOLOGIN", f"GRANT {people} TO {us}"]
    for statement in make:
        if _done(connection, act, keep=False):
            return
        if not _done(connection, statement, keep=True):
            # It may be made already, by now: only with a lock that is new a session hears of what others committed.
            connection.exec_driver_sql("SELECT FROM pg_catalog.pg_tablespace LIMIT 0")
    if not _done(connection, act, keep=False):
        raise RoleRefused(
            f"We may not make the role {people}, for which row security is. Have an administrator of the database"
            f" server run: {'; '.join(make)}; and then run rollcall migrate again."
        )


def _done(connection: Connection, statement: str, *, keep: bool) -> bool:
    """Try a statement about the role, and `keep` what it did or not; whether we may."""
    attempt = connection.begin_nested()
    try:
        connection.exec_driver_sql(statement)
    except DBAPIError as problem:
        if getattr(problem.orig, "sqlstate", None) not in NO_ROLE:
            raise
        attempt.rollback()
        return False
    if keep:
        attempt.commit()
    else:
        attempt.rollback()
    return True
