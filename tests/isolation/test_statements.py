"""R31: every statement says whose rows it is about, or says why it is about everybody's."""

import re

import pytest

from tasks.mail.addresses import mail_key
from tests.isolation.neighbours import tables_of_organisations
from tests.isolation.statements import past_the_helpers, statements, unbound
from tests.world import World

#: What is about more than one organisation by its nature, and why that crosses no border.
ACROSS = {
    "from ids to organisations: the door that all else comes through": {
        "tasks.cells.store.depart",
        "tasks.cells.store.events_since",
        "tasks.events.turns.standing",
        "tasks.organisations.store.after",
        "tasks.organisations.store.every",
        "tasks.organisations.store.find",
        "tasks.organisations.store.put_back",
        "tasks.organisations.store.save",
        "tasks.organisations.store.take_out",
    },
    "access at the door of a course, in one look-up from the id of the organisation on; it joins on that": {
        "tasks.acts.access.by_token",
        "tasks.acts.access.pairs_by_token",
        "tasks.enrolments.access.access_of_pairs",
        "tasks.enrolments.access.access_of",
    },
    "one event, by its number or by its source and id: it is stored before anybody looks whose it is": {
        "tasks.events.inbox.defer",
        "tasks.events.inbox.settle",
        "tasks.events.inbox.quarantine_malformed",
        "tasks.events.inbox.announce_quarantine",
        "tasks.events.quarantine.resolve",
        "tasks.events.quarantine.rewrite",
        "tasks.events.turns.give_up",
        "tasks.events.turns.park",
    },
    "what is forgotten of everybody's events, as its time is over": {
        "tasks.events.forgetting.anything_to_forget",
        "tasks.events.forgetting.forget_ids",
        "tasks.events.forgetting.forget_payloads",
    },
    "what waits, by a key that has the organisation's number in it": {
        "tasks.events.inbox.waiting_for",
        "tasks.events.inbox.waiting_in_vain",
        "tasks.events.inbox.any_waiting_for_enrolment",
        "tasks.events.turns._any",
        "tasks.events.turns.next_",
        "tasks.imports.store.awaited",
    },
    "an operator's, who may name an organisation": {
        "tasks.audit.export.stream_entries",
        "tasks.audit.store.place_after_of_all",
        "tasks.audit.store.records_of_all",
        "tasks.enrolments.fanouts.fanouts_under_way",
        "tasks.mail.ledger.mailings.under_way",
        "tasks.work.backlog.failing",
        "tasks.work.pools.resume_pool",
        "tasks.work.halts.current_halts",
        "tasks.work.halts.halt",
        "tasks.work.halts.unhalt",
        "tasks.work.store.give_up",
        "tasks.work.store.retry",
        "tasks.events.quarantine.decided",
        "tasks.events.quarantine.quarantined_page",
        "tasks.events.quarantine.unresolved",
    },
    "an operator's, for all mail at once": {
        "tasks.mail.ledger.control.resume",
        "tasks.work.resting.hold_all",
        "tasks.work.resting.resume_all",
    },
    "the relay's chores, for everybody in turn; what they touch they join on the organisation": {
        "tasks.audit.store.has_old",
        "tasks.audit.store.settle_refusals",
        "tasks.enrolments.fanouts._finish",
        "tasks.enrolments.fanouts.finish_fanouts",
        "tasks.events.inbox._quarantine_overdue",
        "tasks.events.inbox.has_overdue",
        "tasks.events.inbox.quarantine_overdue",
        "tasks.events.outbox.is_done_with",
        "tasks.events.outbox.not_known_published",
        "tasks.events.outbox.order_after_stream",
        "tasks.events.outbox.order_next",
        "tasks.events.readers.remember",
        "tasks.learners.listing.index_learners",
        "tasks.mail.ledger.ageing.forget_ledgers",
        "tasks.mail.ledger.ageing.is_done_with",
        "tasks.mail.ledger.mailings.are_open",
        "tasks.mail.ledger.mailings.keep_counts",
        "tasks.mail.ledger.mailings.unworked",
        "tasks.system.flows.positions",
        "tasks.work.store.next_due_seconds",
        "tasks.work.store.offer",
        "tasks.work.store.others_wait",
    },
    "what a person wants published once more: an operator's, or with the rights of an organisation's people": {
        "tasks.events.replays._slices",
        "tasks.events.replays._replay_slice",
    },
    "sending to webhooks: the platform's own are sent everybody's events, an organisation's name it": {
        "tasks.webhooks.store._position_now",
        "tasks.webhooks.store.add",
        "tasks.webhooks.store.find",
        "tasks.webhooks.store.webhooks",
        "tasks.webhooks.sending.claim",
        "tasks.webhooks.sending.next_due",
        "tasks.webhooks.sending.next_events",
        "tasks.webhooks.sending.pass_over",
        "tasks.webhooks.store.forget_answers",
    },
    "what waits or is quarantined, by the id of its organisation: some was stored before that had a number": {
        "tasks.events.quarantine.unresolved_after",
        "tasks.events.erasing.rewrite_reasons",
    },
    "an operator's question: whether a word is the id of any event": {
        "tasks.events.quarantine.is_called",
    },
    "what must hold of the database as a whole: the order of events out, events in by their state, rows of nobody": {
        "tasks.verification.invariants.of_database",
    },
    "counts, for how everything stands": {
        "tasks.enrolments.fanouts.running_fanouts",
        "tasks.events.quarantine._unresolved",
        "tasks.events.inbox.stored",
        "tasks.events.outbox.is_stalled",
        "tasks.events.outbox.unpublished",
        "tasks.events.readers.waiting_seconds",
        "tasks.events.replays.left",
        "tasks.mail.ledger.mailings.in_progress",
        "tasks.webhooks.store.health",
        "tasks.work.backlog.loads",
        "tasks.work.backlog.unfinished",
    },
}


def test_r31_every_statement_says_whose_rows_it_is_about(world: World) -> None:
    tables = tables_of_organisations(world)
    open_ = {statement.function: names for statement in statements() if (names := unbound(statement.text, tables))}
    allowed = {function for functions in ACROSS.values() for function in functions}

    assert {function: names for function, names in open_.items() if function not in allowed} == {}
    assert allowed - open_.keys() == set(), "these name their organisation by now"


def test_r31_no_statement_goes_past_the_helper_that_binds_its_organisation() -> None:
    assert past_the_helpers() == {
        "tasks.imports.intake.import_file",  # a copy of the retries for lost races
        "tasks.imports.judging.stage",  # copies a file into a table of its own session
        "tasks.imports.judging.refused_lines",  # copies what is refused of it
        "tasks.reports.export.stream_rows",  # copies; whoever calls it asks the helper for its organisation
        "workers.pool._release",  # a copy of the retries
        "workers.relay.leader._leadership",  # a lock, and news
        "tasks.system.readers.restore",  # Redis
        "workers.queues._push",  # Redis
        "tasks.mail.sending.rates._together",  # Redis
        "tasks.mail.sending.rates._say_present",  # Redis
        "tasks.mail.ledger.witness.went",  # Redis
        "workers.commands.events._add",  # Redis
        "workers.suspects._count",  # Redis
    }


@pytest.mark.parametrize(
    ("statement", "names"),
    [
        ("SELECT id FROM learners WHERE organisation = :organisation", []),
        ("SELECT id FROM learners WHERE learner = :learner", ["learners"]),
        ("SELECT FROM learners l JOIN work w USING (organisation) WHERE w.organisation = :organisation", []),
        ("SELECT FROM learners l JOIN work w USING (learner) WHERE l.organisation = :organisation", ["w"]),
        ("SELECT FROM learners l JOIN work w USING (organisation)", ["l", "w"]),
        ("SELECT EXISTS (SELECT FROM courses c WHERE c.organisation = l.organisation) FROM learners l", ["l", "c"]),
        ("UPDATE learners SET id = '' FROM courses c WHERE c.organisation = :organisation", ["learners"]),
        ("INSERT INTO work (organisation) SELECT :organisation FROM learners l", ["l"]),
        ("INSERT INTO work (organisation) SELECT l.organisation FROM learners l", ["work", "l"]),
        ("DELETE FROM work USING learners l WHERE work.organisation = l.organisation", ["work", "l"]),
        ("WITH all_ AS (SELECT * FROM learners) SELECT 1 FROM all_ WHERE organisation = :organisation", ["learners"]),
        ("SELECT 1 FROM work WHERE (:organisation = 0 OR organisation = :organisation)", ["work"]),
        ("SELECT 1 FROM work WHERE organisation = :organisation UNION ALL SELECT 1 FROM work", ["work"]),
    ],
)  # fmt: skip
def test_r31_a_condition_that_is_forgotten_is_found(statement: str, names: list[str]) -> None:
    assert unbound(statement, {"learners", "courses", "enrolments", "work"}) == names


def test_no_statement_compares_in_the_letters_of_a_locale() -> None:
    """In a Turkish database lower('I') is a dotless i, and mail would go to a suppressed address in capitals (R15)."""
    by_locale = re.compile(r"\b(lower|upper|initcap)\s*\((?!.*COLLATE)|ILIKE")
    assert {statement.function for statement in statements() if by_locale.search(statement.text)} == set()


def test_r15_addresses_are_compared_by_their_letters_of_ascii(world: World) -> None:
    addresses = ["INFO.ALI@Example.org", "i\u0307@x.example", "\u0130@X.example", "\u00c9@x.example", " a@x.example "]
    for address in addresses:
        assert world.ask("SELECT mail_key(btrim(:address))", address=address) == mail_key(address)
    assert mail_key("INFO@X.example") == "info@x.example"
