"""A database that was restored from a backup: found out, and what is to become of the mail that it would send again."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import structlog
from sqlalchemy import Connection

from config.database import execute, rows, transaction
from config.runtime import Runtime
from config.sql import query
from tasks import organisations
from tasks.mail.ledger import control
from tasks.mail.ledger.gate import Recipient
from tasks.mail.ledger.mailings import Mailing
from tasks.mail.ledger.message_ids import message_ids_of, numbers
from tasks.mail.ledger.moves import make_move
from tasks.mail.ledger.server_logs import read
from tasks.mail.ledger.witness import SentSince, Witness
from tasks.mail.rules import Delivery, Kind

log = structlog.get_logger()


class Settled(StrEnum):
    """Why a delivery is uncertain, or accepted, that no worker settled: a person, or a log, knows what went."""

    BY_HAND = "by hand"
    RESTORED = "restored"
    IN_THE_LOG = "in the log"


#: What is said of it where something else was asked.
IT_WAS_RESTORED = "The database was restored from a backup, no mail leaves, and you are to decide what becomes of it"

#: Deliveries looked at in one statement, and mails remembered in one.
PAGE = 10_000
SLICE = 50_000


def notice_restore(connection: Connection, witness: Witness) -> bool:
    """Look whether the database was restored, and if it was let no mail leave before a person has said what is to
    become of it. Whether it was."""
    if not witness.is_behind(connection):
        return False
    if control.hold_restored(connection):
        log.error("mail.restored", what_to_do=control.WHAT_TO_DO["restored"])
    return True


def asks_after_restore(connection: Connection, witness: Witness, *, sure: bool = False) -> bool:
    """Whether the database is known as restored, and a person is to say what is to become of its mail. If the person is
    `sure` that it was restored, no mail leaves either way."""
    noticed = notice_restore(connection, witness) or control.awaits_decision(connection)
    if sure:
        control.hold_restored(connection)
    return noticed


def without_known(connection: Connection, mailing: Mailing, group: Sequence[Recipient]) -> list[Recipient]:
    """Those of a group whose mail is not known to have gone before the database was restored; of the others that is
    written, and they are not sent it again by themselves."""
    messages = numbers(mailing, group)
    known = control.recall(connection, messages)
    if not known:
        return list(group)
    numbered = list(zip(group, messages, strict=True))
    for taken in (True, False):
        those = [one.recipient for one, message in numbered if known.get(message) is taken]
        if those:
            _settle(connection, mailing.organisation, mailing.mailing, those, taken=taken)
    return [one for one, message in numbered if message not in known]


@dataclass(frozen=True, slots=True)
class _Open:
    """A delivery that is pending or uncertain."""

    mailing: int
    recipient: int
    kind: str
    source: str
    id: str
    mailing_state: str
    learner: str
    state: str


def _open_deliveries(connection: Connection, organisation: int) -> Iterator[list[_Open]]:
    """The deliveries of an organisation that are pending or uncertain, some thousands at once."""
    mailing, recipient = 0, -(2**31)
    while page := rows(
        connection,
        _Open,
        query("mail.open_deliveries"),
        organisation=organisation,
        after_mailing=mailing,
        after_recipient=recipient,
        limit=PAGE,
    ):
        yield page
        mailing, recipient = page[-1].mailing, page[-1].recipient


@dataclass(frozen=True, slots=True)
class Affected:
    """An announcement, or an organisation's notices of a kind: how many deliveries are pending in the restored
    database; how many of these went since, as far as is known; of how many nothing is known."""

    organisation: str
    kind: str
    announcement: str | None
    state: str
    pending: int
    sent_since: int
    not_known: int


@dataclass(slots=True)
class RestoreSurvey:
    """What is to be written about one organisation, and what is said of it."""

    affected: list[Affected] = field(default_factory=list)
    #: Recipients that are pending and whose mail is known to have gone, by mailing; and those taken by a server.
    gone: dict[int, list[int]] = field(default_factory=dict)
    taken: dict[int, list[int]] = field(default_factory=dict)
    #: The mails of these.
    matched: set[int] = field(default_factory=set)


def survey(connection: Connection, organisation: int, organisation_id: str, known: Mapping[int, bool]) -> RestoreSurvey:
    """Compare what is pending or uncertain with what is known to have gone, by Message-ID."""
    found = RestoreSurvey()
    pending: Counter[tuple[str, str | None, str]] = Counter()
    since: Counter[tuple[str, str | None, str]] = Counter()
    for page in _open_deliveries(connection, organisation):
        for one in page:
            kind = Kind(one.kind)
            of = (one.kind, one.id, one.mailing_state) if kind is Kind.ANNOUNCEMENT else (one.kind, None, "sending")
            message = message_ids_of(organisation_id, kind, one.source, one.id).number(one.learner)
            went = message in known
            if one.state == Delivery.PENDING:
                pending[of] += 1
                since[of] += went
            if not went:
                continue
            if known[message]:
                found.taken.setdefault(one.mailing, []).append(one.recipient)
            elif one.state == Delivery.PENDING:
                found.gone.setdefault(one.mailing, []).append(one.recipient)
            found.matched.add(message)
    for id_ in _announcements(connection, organisation, ["scheduled"]):
        pending[Kind.ANNOUNCEMENT.value, id_.id, "scheduled"] += 0
    found.affected = [
        Affected(organisation_id, kind, id_, state, n, since[kind, id_, state], n - since[kind, id_, state])
        for (kind, id_, state), n in sorted(pending.items(), key=lambda one: (one[0][0], one[0][1] or ""))
    ]
    return found


@dataclass(frozen=True, slots=True)
class _Announcement:
    mailing: int
    id: str
    state: str


def _announcements(connection: Connection, organisation: int, states: Sequence[str]) -> list[_Announcement]:
    """The announcements of an organisation in one of these states."""
    return rows(
        connection,
        _Announcement,
        """
        SELECT mailing, id, state FROM mailings
        WHERE organisation = :organisation AND kind = 'announcement' AND state = ANY(CAST(:states AS text[]))
        ORDER BY mailing
        """,
        organisation=organisation,
        states=list(states),
    )


def hold(connection: Connection, organisation: int, by: str) -> int:
    """Make every announcement ask that would go on, or begin, by itself; how many."""
    held = 0
    for one in _announcements(connection, organisation, ["sending", "scheduled"]):
        move = "pause" if one.state == "sending" else "pass over"
        why = "the database was restored from a backup: resume it, or cancel it" if move == "pause" else None
        moved = make_move(connection, organisation, one.mailing, move, expected=one.state, by=by, why=why)
        held += moved is not None
    return held


def _write(
    connection: Connection, org: organisations.Organisation, mails: Mapping[int, bool]
) -> tuple[int, int, set[int]]:
    """Write which deliveries a server has taken, and of which it is uncertain; how many of each, and which mails these
    were, which are remembered no longer."""
    number = org.organisation
    found = survey(connection, number, org.id, mails)
    accepted = sum(_settle(connection, number, mailing, those, taken=True) for mailing, those in found.taken.items())
    uncertain = sum(_settle(connection, number, mailing, those, taken=False) for mailing, those in found.gone.items())
    control.recall(connection, list(found.matched))
    return accepted, uncertain, found.matched


def _settle(connection: Connection, organisation: int, mailing: int, recipients: Sequence[int], *, taken: bool) -> int:
    execute(
        connection,
        """
        UPDATE mailings SET counted_at = NULL
        WHERE organisation = :organisation AND mailing = :mailing AND counted_at IS NOT NULL
        """,
        organisation=organisation,
        mailing=mailing,
    )
    return execute(
        connection,
        """
        UPDATE deliveries d SET state = CASE WHEN :taken THEN CAST('accepted' AS delivery_state) ELSE 'uncertain' END,
            reason = :reason, settled_at = now(), due_at = NULL, address = coalesce(d.address, (
                SELECT l.email FROM learners l WHERE l.organisation = :organisation AND l.learner = d.recipient
                  AND l.standing IN ('active', 'inactive')))
        WHERE d.organisation = :organisation AND d.mailing = :mailing AND same_month(d.mailing, :mailing)
          AND d.recipient = ANY(CAST(:recipients AS int[]))
          AND (d.state = 'pending' OR :taken AND d.state = 'uncertain')
        """,
        organisation=organisation,
        mailing=mailing,
        recipients=list(recipients),
        taken=taken,
        reason=Settled.IN_THE_LOG.value if taken else Settled.RESTORED.value,
    )


def known_since_restore(runtime: Runtime, witness: Witness) -> tuple[SentSince, list[Affected]]:
    """What Redis, or what was remembered, knows of the mail that went after the moment to which the database was
    restored; and the mailings of which mail is pending or uncertain, of every organisation."""
    with transaction(runtime.engine) as connection:
        since = witness.sent_since(connection)
        since.mails.update(control.all_known(connection))
        everyone = organisations.every(connection)
    affected: list[Affected] = []
    for org in everyone:
        with transaction(runtime.engine, org.organisation) as connection:
            affected += survey(connection, org.organisation, org.id, since.mails).affected
    return since, affected


def settle_restore(runtime: Runtime, witness: Witness, mails: Mapping[int, bool], by: str) -> None:
    """Write down what went, organisation by organisation, and go on from here; were it cut short, it is asked again,
    and nothing is done twice."""
    with transaction(runtime.engine) as connection:
        control.hold_restored(connection)
        everyone = organisations.every(connection)
    _remember(runtime, mails)
    for org in everyone:
        with transaction(runtime.engine, org.organisation) as connection:
            _write(connection, org, mails)
            hold(connection, org.organisation, by)
    with transaction(runtime.engine) as connection:
        begin = control.settle_restored(connection, witness.highest(connection))
    with transaction(runtime.engine) as connection:
        witness.begin_anew(connection, begin)


@dataclass(frozen=True, slots=True)
class SentInLog:
    """What a log said: `lines` read; `mails` of ours that went, by their Message-IDs; deliveries that are now
    `accepted`, or `uncertain` because the log does not say whether the server took them; mails of ours that are of no
    delivery that is pending or uncertain (`unmatched`); whether these are `kept`, for mail that is asked for again."""

    lines: int
    mails: int
    accepted: int
    uncertain: int
    unmatched: int
    kept: bool


def record_log(runtime: Runtime, lines: Iterable[str]) -> SentInLog:
    """Read from a mail server's log which of our mails it took, and write that down."""
    seen = read(lines)
    with transaction(runtime.engine) as connection:
        notice_restore(connection, Witness(runtime.endpoints.redis_url, runtime.home))
        kept = control.was_restored(connection)
        everyone = organisations.every(connection)
    # Where nothing was restored, only what the server is known to have taken says anything.
    mails = seen.mails if kept else {message: True for message, taken in seen.mails.items() if taken}
    if kept:
        _remember(runtime, mails)
    accepted = uncertain = 0
    matched: set[int] = set()
    for org in everyone:
        with transaction(runtime.engine, org.organisation) as connection:
            taken, doubted, found = _write(connection, org, mails)
        accepted, uncertain, matched = accepted + taken, uncertain + doubted, matched | found
    return SentInLog(seen.lines, len(seen.mails), accepted, uncertain, len(mails.keys() - matched), kept)


def _remember(runtime: Runtime, mails: Mapping[int, bool]) -> None:
    """Keep which mails went, for those that are asked for again later."""
    known = list(mails.items())
    for start in range(0, len(known), SLICE):
        with transaction(runtime.engine) as connection:
            control.remember(connection, dict(known[start : start + SLICE]))
