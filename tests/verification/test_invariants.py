"""What must hold is found right in a world where everything happened, and each thing that is broken is named."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import Connection, text

from config.database import scoped
from config.sql import query
from config.tables import metadata
from tasks import organisations, seats, verification
from tasks.reconcile import Deviation
from tasks.verification import Invariant
from tests.architecture.declared import owners
from tests.commands.console import Rollcall, printed, rollcall
from tests.world import DAWN, World

__all__ = ["rollcall"]  # a fixture


@pytest.fixture
def lived(world: World) -> World:
    """An organisation in which there is something of everything, at rest."""
    world.has_learners("A", "C", "D", at=DAWN)
    world.has_learners("B", status="inactive", at=DAWN)
    world.has_segment("nurses", "A", "B")
    world.has_course("safety", "everyone")
    world.has_course("law", "segments", segments=["nurses"])
    world.has_course("art")
    world.asks_to_enrol("art", "A", "B", "D", "ghost", request="r1")
    world.asks_to_enrol("art", "C", request="r2")
    world.withdraws("art", "C")
    world.starts("A", "safety")
    world.starts("C", "safety", at=DAWN + timedelta(hours=1))
    world.becomes("inactive", "C", at=DAWN + timedelta(minutes=1))
    world.say("course.started", learner="nobody", course="safety")
    world.say("course.completed", learner="A", course="safety", result="passed")
    world.announces("news")
    world.announces("later", send_at="2099-01-01T00:00:00Z")
    world.settle()
    world.say("learner.deleted", learner="D")
    world.say("segment.joined", segment="nurses", learners=["D"])
    world.has_learners("E")  # whom the course for everyone enrols without a fan-out
    world.settle()
    return world


def broken(connection: Connection, world: World, *statements: str) -> list[str]:
    """What is named after these statements, which a superuser alone is capable of, and which are undone."""
    attempt = connection.begin_nested()
    connection.execute(text("SET LOCAL session_replication_role = replica"))
    for statement in statements:
        for part in statement.split(";"):
            connection.execute(text(part))
    number = organisations.find(connection, [world.organisation])[world.organisation]
    found = [breach for some in verification.of_database(connection) for breach in some]
    with scoped(connection, number.organisation):
        found += [breach for some in verification.of_organisation(connection, number) for breach in some or ()]
    attempt.rollback()
    assert all(breach.in_words.count("\n") == 0 for breach in found)
    return [breach.what for breach in found]


#: What a superuser does first who changes the ledger: it is append-only.
UNGUARDED = "ALTER TABLE consumptions DISABLE TRIGGER USER"

#: How each thing is broken: what is named, and a statement.
BREAKS = [
    ("request", "UPDATE fanouts SET enrolled = enrolled + 9 WHERE request = 'r1'"),
    (
        "request",
        """
        UPDATE outbox SET data = CAST(jsonb_set(CAST(data AS jsonb), '{selected}', '9') AS json)
        WHERE type = 'rollcall.enrolment.finished'
        """,
    ),
    (
        "mailing",
        "UPDATE deliveries SET state = 'pending', settled_at = NULL",
    ),
    ("mailing", "UPDATE mailings SET state = 'draft' WHERE kind = 'announcement'"),
    ("mailing", "UPDATE mailings SET finished_at = NULL"),
    ("delivery", "UPDATE deliveries SET settled_at = NULL WHERE state = 'accepted'"),
    ("delivery", "UPDATE deliveries SET reason = NULL WHERE state = 'skipped'"),
    ("not charged", f"{UNGUARDED}; DELETE FROM consumptions"),
    ("no start", "DELETE FROM starts"),
    ("learner number", "UPDATE organisations SET learners = 1"),
    ("erased", "UPDATE learners SET email = 'd@acme.example' WHERE standing = 'deleted'"),
    ("orphan", "DELETE FROM learners WHERE id = 'A'"),
    ("orphan", "DELETE FROM courses"),
    ("orphan", "DELETE FROM segments"),
    ("orphan", "DELETE FROM mailings"),
    ("orphan", "DELETE FROM fanouts"),
    ("work", "UPDATE work SET due_at = 'infinity' WHERE state = 'scheduled'"),
    ("work", "UPDATE work SET state = 'running', due_at = now() + interval '1 year', fence = 1"),
    ("work", "UPDATE work SET state = 'running', due_at = now(), fence = 0"),
    ("work", "UPDATE work SET subject = 999999"),
    ("unknown organisation", "UPDATE segments SET organisation = 77"),
    ("unknown organisation", f"{UNGUARDED}; UPDATE consumptions SET organisation = 77"),
    ("event in", "UPDATE inbox SET state = 'applied' WHERE state = 'waiting'"),
    ("event in", "UPDATE inbox SET body = NULL WHERE state = 'waiting'"),
    ("order", "UPDATE publication SET published = ordered + 1"),
    ("order", "UPDATE publication SET ordered = 0, published = 0"),
    ("order", "DELETE FROM publication"),
    ("promise", "DROP INDEX one_credit_charge"),
    ("promise", "UPDATE pg_index SET indisvalid = false WHERE indexrelid = CAST('enrolments_of_learner' AS regclass)"),
    ("promise", UNGUARDED),
    ("promise", "ALTER TABLE learners DISABLE ROW LEVEL SECURITY"),
    ("promise", "ALTER TABLE courses ADD CONSTRAINT odd CHECK (cost < 0) NOT VALID"),
    ("balance", "UPDATE balances SET used = 9"),
    ("standing", "UPDATE learners SET standing = 'inactive' WHERE id = 'A'"),
    ("membership", "UPDATE memberships SET member = false"),
    ("missing", "DELETE FROM enrolments"),
]  # fmt: skip


@pytest.fixture
def connection(lived: World) -> Iterator[Connection]:
    """A transaction that is taken back."""
    with lived.runtime.engine.connect() as connection:
        yield connection
        connection.rollback()


def test_whatever_is_broken_is_named(connection: Connection, lived: World) -> None:
    assert broken(connection, lived) == []
    assert [(what, statement) for what, statement in BREAKS if what not in broken(connection, lived, statement)] == []


def test_each_invariant_is_broken_once() -> None:
    assert {what for what, _ in BREAKS} >= {*Invariant}
    assert not {*Invariant} & ({*seats.Discrepancy} | {*Deviation})


def test_every_unique_index_is_a_promise(connection: Connection, lived: World) -> None:
    owners()
    unique = [index for table in metadata.tables.values() for index in table.indexes if index.unique]

    assert len(unique) >= 7
    unfound = [
        str(index.name) for index in unique if "promise" not in broken(connection, lived, f"DROP INDEX {index.name}")
    ]
    assert unfound == []


def test_every_table_of_organisations_is_looked_through_for_rows_of_nobody(
    connection: Connection, lived: World
) -> None:
    tables = {name for name in owners() if "organisation" in metadata.tables[name].columns}
    views = {name for name in tables if metadata.tables[name].info.get("is_view")}
    looked = {*re.findall(r"organisation FROM (\w+)$", query("verification.strays"), re.MULTILINE)}

    assert looked == tables - views - {"organisations", "inbox", "arrivals"}, (
        "they have the platform's ids, known or not"
    )


def test_the_command_names_each_breach_in_one_line_and_ends_with_1(lived: World, rollcall: Rollcall) -> None:
    right = printed("verify", rollcall("verify", "--json"))
    lived.execute("UPDATE balances SET used = 9")
    lived.execute("UPDATE publication SET published = ordered + 1")
    wrong = rollcall("verify")
    as_json = rollcall("verify", "--json", "--database-url", lived.runtime.endpoints.database_url)
    ours = rollcall("verify", "acme", "--json")

    assert (right["organisations"], right["breaches"], right["under_way"]) == (1, [], [])
    assert right["checks"] > 10
    assert wrong.exit_code == as_json.exit_code == ours.exit_code == 1
    assert "database: order published: " in wrong.stdout
    assert "acme: balance credit 2026-01-01T00:00:00.000000Z: the balance says 9, its entries 2" in wrong.stdout
    assert [one["what"] for one in json.loads(as_json.stdout)["breaches"]] == ["order", "balance"]
    assert [one["what"] for one in json.loads(ours.stdout)["breaches"]] == ["balance"], (
        "the database is not asked about"
    )
    assert "There is no organisation 'nobody'." in str(rollcall("verify", "nobody").exception)


def test_what_is_under_way_breaks_nothing(world: World, rollcall: Rollcall) -> None:
    world.has_learners(*(f"L{n}" for n in range(12)))
    world.has_course("safety", "everyone")
    world.execute("UPDATE enrolments SET withdrawn_at = now(), withdrawn_by = 'rule'")
    world.execute(
        "INSERT INTO work (organisation, queue, actor, subject)"
        " SELECT organisation, 'tasks', 'enrolments.chunk', fanout FROM fanouts"
    )

    assert printed("verify", rollcall("verify", "--json"))["under_way"] == ["acme"]
