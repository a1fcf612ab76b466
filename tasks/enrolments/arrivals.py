"""What follows for learners of whom each has an event of its own to thank: who is new, or active again."""

from collections.abc import Sequence

from sqlalchemy import Connection

from config.settings import Settings
from tasks import mail, work
from tasks.enrolments import access, courses, fanouts, store
from tasks.enrolments.store import Newcomer
from tasks.events import AccessActivated, emit, emit_changed
from tasks.learners import chunks
from tasks.organisations import Organisation


def later(
    connection: Connection, settings: Settings, organisation: int, cause: str, newcomers: Sequence[Newcomer], rows: int
) -> None:
    """Write down, as work, what would write about so many `rows` for these learners: as many of them in a piece as
    write about a chunk."""
    size = max(settings.rollcall_chunk * len(newcomers) // max(rows, 1), 1)
    fanout = fanouts.begin_for_each(connection, organisation, cause, newcomers)
    work.add(connection, organisation, "tasks", "enrolments.chunk", fanout, chunks(len(newcomers), size))


def enrol(connection: Connection, organisation: int, newcomers: Sequence[Newcomer]) -> None:
    """Apply the standing rules to learners who are new: each is told in one mail of all it brought (R7, R12)."""
    recorded = store.enrol_newcomers(connection, organisation, newcomers)
    if not recorded:
        return
    named = courses.courses_numbered(connection, organisation, [entry.course for entry in recorded])
    on_hold = {course.course for course in named if course.on_hold}
    told = [entry for entry in recorded if not entry.silent and entry.course not in on_hold]
    if told:
        causes = {newcomer.learner: newcomer.cause for newcomer in newcomers}
        mailings = mail.new_mailings(
            connection, organisation, mail.Kind.ENROLMENT, [causes[entry.learner] for entry in told]
        )
        notices = [(entry.course, 1, entry.learner, mailings[causes[entry.learner]]) for entry in told]
        _record_notices(connection, organisation, notices)
    emit_changed(
        connection,
        organisation,
        "rule",
        [(entry.course, 1, entry.learner, "silent" if entry.silent else "enrolled") for entry in recorded],
    )


def open_again(connection: Connection, organisation: Organisation, learners: Sequence[Newcomer]) -> None:
    """Give full access to learners who are active again (R4), and one digest of what became available where their
    organisation wants it (R12, S7); the platform is told what they have access to now."""
    number = organisation.organisation
    who = [learner.learner for learner in learners]
    activated = access.activate(connection, number, who, [learner.occurred_at for learner in learners])
    accessible = access.accessible(connection, number, who)
    if organisation.reactivation_digest and (opened := activated()):
        causes = {learner.learner: learner.cause for learner in learners}
        mailings = mail.new_mailings(connection, number, mail.Kind.DIGEST, [causes[entry.learner] for entry in opened])
        told = [(entry.course, entry.cycle, entry.learner, mailings[causes[entry.learner]]) for entry in opened]
        _record_notices(connection, number, told)
    emit(
        connection,
        number,
        "rollcall.access.activated",
        [AccessActivated(learner=learner.id, courses=learner.courses) for learner in accessible],
    )


def _record_notices(connection: Connection, organisation: int, notices: Sequence[tuple[int, int, int, int]]) -> None:
    """Note which mailing tells of which enrolments, and open its ledger: (course, cycle, learner, mailing) each."""
    store.record_notices(connection, organisation, notices)
    pairs = sorted({(mailing, learner) for _, _, learner, mailing in notices})
    mail.open_for_pairs(connection, organisation, pairs)
