"""Whoever knows the mailing looks into its month of deliveries alone: R31."""

import re

from config.database import _months, _statement
from tests.isolation.statements import statements
from tests.retention.months import divided, keep, names, of
from tests.world import World

#: What a plan reads or writes, of the ledger.
READ = re.compile(r"(?:Scan(?: Backward)?(?: using \w+)?|Update|Delete) on (deliveries_\w+)")

#: What looks into every month, and why.
OF_ALL = {
    "the mailings are those of a learner, or of enrolments: a month is looked into for each, as it is found": {
        "tasks.bounces.store.history",
        "tasks.bounces.store.record_complaint",
        "tasks.enrolments.access.enrolments_of",
        "tasks.enrolments.enrolling._enrol_listed",  # of those who come back
        "tasks.enrolments.enrolling._follow_in_a_row",
        "tasks.enrolments.previews.preview_request",
        "tasks.enrolments.previews.preview_rules",
        "tasks.erasure.documents._stored",
        "tasks.explaining.store.steps_of",
        "tasks.mail.ledger.erasing.forget_recipients",
        "tasks.mail.ledger.mailings.received_by",
        "tasks.mail.ledger.suppressions.count_suppressions",
        "tasks.mail.ledger.suppressions.lift",
        "tasks.reports.training.TRAINING",
    },
    "all that an organisation has is looked at": {
        "tasks.mail.ledger.recipients.any_accepted",
        "tasks.mail.ledger.restored._open_deliveries",  # page by page, each from its month on
        "tasks.mail.ledger.retrying.retry_notices",
        "tasks.reports.store.mail_counts",
        "tasks.verification.invariants.of_database",
        "tasks.verification.invariants.of_organisation",
    },
    "the mailings are those whose deliveries lie in no month": {"tasks.mail.ledger.ageing.forget_ledgers"},
}

_PARAMETER = re.compile(r"%\((\w+)\)s")


def bound(statement: str, number: int) -> tuple[str, str]:
    """A statement with parameters by number, and what it is executed with."""
    places: dict[str, str] = {}
    months = tuple((number >> 30, number >> 30) for _ in _months(statement))
    asked = _statement(statement, False, months)
    numbered = _PARAMETER.sub(lambda found: places.setdefault(found[1], f"${len(places) + 1}"), asked)
    known = {"mailing": f"{number}", "mailings": f"'{{{number}}}'"}
    values = ", ".join(known.get(name, "NULL") for name in places)
    return numbered.replace("%%", "%"), f"({values})" if places else ""


def read(world: World, statement: str, number: int) -> set[str]:
    """The months of the ledger that a statement reads, planned for any mailing of a month and begun with this one."""
    text, values = bound(statement, number)
    with world.runtime.engine.connect() as connection:
        connection.exec_driver_sql("SET plan_cache_mode = force_generic_plan")
        connection.exec_driver_sql("SET enable_seqscan = off")
        connection.exec_driver_sql(f"PREPARE asked AS {text}".replace("%", "%%"))
        plan = "\n".join(row[0] for row in connection.exec_driver_sql(f"EXPLAIN EXECUTE asked{values}"))
        connection.exec_driver_sql("DEALLOCATE asked")
        connection.invalidate()
    return set(READ.findall(plan))


def test_r31_whoever_knows_the_mailing_looks_into_its_month_alone(world: World) -> None:
    divided(world, "deliveries", 14)
    keep(world, rollcall_keep_deliveries_days=600)
    assert sum(name.startswith("deliveries_") for name in names(world)) == 2 + 14 + 1 + 3
    number = world.ask("SELECT number_of_month(now()) + 7")
    month = of("deliveries", world.ask("SELECT now()"))

    wide: set[str] = set()
    narrow: set[str] = set()
    for statement in statements():
        if re.search(r"\b(?:FROM|JOIN|UPDATE) deliveries\b", statement.text):
            months = read(world, statement.text, number)
            (narrow if months == {month} else wide).add(statement.function)
    assert wide == {function for functions in OF_ALL.values() for function in functions}
    assert len(narrow) > 20
