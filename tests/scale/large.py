"""A large organisation that the planner's statistics know, beside whatever comes later, of which they know nothing."""

from tests.world import World

#: Learners of the large organisation; everything of theirs is of that order.
LEARNERS = 8000

STATEMENTS = (
    """
    INSERT INTO learners (organisation, learner, id, standing, version, saved_version, saved_at, email, username)
    SELECT 1, n, 'A' || n, 'active', 1, 1, now(), 'a' || n || '@x.example', 'u' || n FROM generate_series(1, :n) n
    """,
    "UPDATE organisations SET learners = :n",
    """
    INSERT INTO status_changes (organisation, learner, version, occurred_at, active, cause)
    SELECT 1, n, 1, now(), true, 'e' FROM generate_series(1, :n) n
    """,
    """
    INSERT INTO segments (organisation, id, name, saved_at)
    SELECT 1, 's' || n, 's', now() FROM generate_series(1, 80) n
    """,
    """
    INSERT INTO memberships (organisation, segment, learner, member, since)
    SELECT 1, 1 + n % 80, n, true, now() FROM generate_series(1, :n) n
    """,
    """
    INSERT INTO membership_changes (organisation, segment, learner, occurred_at, member)
    SELECT organisation, segment, learner, since, member FROM memberships
    """,
    """
    INSERT INTO courses (organisation, id, title, cost, on_hold, method, rules_since, saved_at)
    SELECT 1, 'c' || n, 'c', 1, false, 'segments', now(), now() FROM generate_series(1, 100) n
    """,
    """
    INSERT INTO course_segments (organisation, course, segment)
    SELECT 1, c, s FROM generate_series(1, 100) c, generate_series(1, 80) s
    """,
    """
    INSERT INTO enrolments (organisation, course, cycle, learner, silent, fanout, enrolled_at, activated_at, started_at,
                            requests)
    SELECT 1, c, 1, n, false, 1, now(), now(), now(), ARRAY[1] FROM generate_series(1, :n) n, generate_series(1, 2) c
    """,
    """
    INSERT INTO consumptions (organisation, learner, course, cycle, unit, amount, period, overdrawn, occurred_at, event)
    SELECT 1, n, 1, 1, 'credit', 1, '2026-01-01', false, now(), 'e' FROM generate_series(1, :n) n
    """,
    """
    INSERT INTO reviews (organisation, consumption, code, event)
    SELECT organisation, consumption, 'x', 'e' FROM consumptions WHERE consumption % 2 = 0
    """,
    """
    INSERT INTO mailings (organisation, kind, source, id, state, policy, finished_at)
    SELECT 1, 'enrolment', 's', 'm' || n, 'finished', 'resend', now() FROM generate_series(1, :n) n
    """,
    """
    INSERT INTO deliveries (organisation, mailing, recipient, state)
    SELECT 1, 1, n, 'accepted' FROM generate_series(1, :n) n
    """,
    """
    INSERT INTO outbox (organisation, type, data, position)
    SELECT 1, 'rollcall.x', '{}', -n FROM generate_series(1, :n) n
    """,
    """
    INSERT INTO arrivals (source, id, organisation) SELECT 's', 'i' || n, 'acme' FROM generate_series(1, :n) n
    """,
    """
    INSERT INTO withdrawals (organisation, course, learner, cycle, occurred_at)
    SELECT 1, 4, n, 0, now() FROM generate_series(1, :n) n
    """,
    """
    INSERT INTO stints (organisation, course, cycle, learner, enrolled_at, withdrawn_at, withdrawn_by)
    SELECT 1, 4, 1, n, now(), now(), 'rule' FROM generate_series(1, :n) n
    """,
    """
    INSERT INTO fanouts (organisation, courses, cycle, cause, request, occurred_at, finished_at)
    SELECT 1, '{1}', 1, 'request', 'r' || n, now(), now() FROM generate_series(1, :n) n
    """,
)


#: Organisations that have one row each, in every table.
SMALL = 400

#: Every table of what organisations have, but for those that nobody may change.
TABLES = """
    SELECT quote_ident(t.relname) FROM pg_class t JOIN pg_attribute a ON a.attrelid = t.oid
    WHERE t.relkind = 'r' AND t.relnamespace = current_schema()::regnamespace
      AND a.attname = 'organisation' AND a.atttypid = 'int'::regtype AND t.relname <> 'organisations'
      AND NOT EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = t.oid AND g.tgenabled = 'A')
"""


def has_a_large_neighbour(world: World) -> None:
    """Fill the world's first organisation, have it analysed, and see to it that nothing after it is."""
    _fill(world, LEARNERS)
    _have_analysed(world)


def has_small_neighbours(world: World) -> None:
    """Have every table analysed while each organisation has one row of it, and see to it that nothing after it is."""
    _fill(world, SMALL)
    for table in world.list(TABLES):
        world.execute(
            f"""
            SET LOCAL session_replication_role = replica;
            UPDATE {table} t SET organisation = 1000 + n.n
            FROM (SELECT ctid, row_number() OVER () AS n FROM {table}) n WHERE t.ctid = n.ctid
            """
        )
    _have_analysed(world)


def _fill(world: World, learners: int) -> None:
    for statement in STATEMENTS:
        world.execute(statement, **({"n": learners} if ":n" in statement else {}))


def _have_analysed(world: World) -> None:
    world.execute("ANALYZE")
    for table in world.list("SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = current_schema()"):
        for leaf in world.list("SELECT CAST(relid AS text) FROM pg_partition_tree(:name) WHERE isleaf", name=table):
            world.execute(f"ALTER TABLE {leaf} SET (autovacuum_enabled = false)")
