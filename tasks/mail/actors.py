"""Sending: claim a piece, ask the gate and the pace, mark what is begun, send, write every outcome."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from pathlib import Path

import structlog
from sqlalchemy import Connection, Engine

from config.database import retrying, transaction
from config.log import without_data
from config.runtime import Endpoints, Runtime
from config.settings import SmtpServer, sender_address
from tasks import work
from tasks.mail.composing.envelopes import compose, identity
from tasks.mail.ledger import deliveries as store
from tasks.mail.ledger import restored
from tasks.mail.ledger.message_ids import numbers
from tasks.mail.ledger.moves import pause_once
from tasks.mail.ledger.witness import Witness
from tasks.mail.rules import (
    LAST_ANSWERS,
    Answer,
    Attempt,
    Before,
    Kind,
    Outcome,
    Patience,
    Verdict,
    held,
    hold_back,
    outcome_of,
    refused_by_nearly_all,
    skipped,
)
from tasks.mail.sending.outages import as_said
from tasks.mail.sending.pace import Lanes
from tasks.mail.sending.pool import Envelope, Mailer
from tasks.mail.sending.rates import Rates

log = structlog.get_logger()

#: Seconds for which the gate's verdict holds: what is not begun by then is asked about again (R15, R20).
GATE_HOLDS_SECONDS = 0.1

#: Seconds between the question and the first message after which the gate is asked again (R20), and which are used up
#: where connections are scarce, or they would lie idle too often; and how often in a row that may be, before mail goes
#: all the same: where it always takes so long, it would never go.
GATE_STALE_SECONDS = 0.5
OFTEN = 3

#: Mails begun and recorded together at least, where the server takes few while the gate's verdict holds: about those
#: that it has no time for, the gate need not be asked.
SMALLEST_GROUP = 20

#: Seconds a piece is worked on before others get their turn: a slow server holds up nobody for longer (R31).
TURN_SECONDS = 1.0

#: Seconds for which it is tried to write what became of mails, should the database be away.
KNOWN_SECONDS = 60.0

#: The longest first pause where nobody answers, in seconds: how soon it is seen that the server is back.
CIRCUIT_SECONDS = 5.0


@lru_cache(maxsize=1)
def _mailer(smtp_url: str, connections: int, timeout: float) -> Mailer:
    return Mailer(SmtpServer.parse(smtp_url), connections=connections, timeout=timeout)


@lru_cache(maxsize=1)
def _rates(endpoints: Endpoints, rate: float, domain_rate: float, pause: float) -> Rates:
    sender = sender_address(endpoints.mail_from)
    return Rates(endpoints.redis_url, sender, rate=rate, domain_rate=domain_rate, pause=pause)


@lru_cache(maxsize=1)
def _witness(engine: Engine, redis_url: str, home: Path) -> Witness:
    witness = Witness(redis_url, home)
    witness.look_when_connected(engine)
    return witness


@dataclass(slots=True)
class _Delivery:
    """One piece of a mailing in the hands of a worker."""

    runtime: Runtime
    piece: work.Piece
    mailing: store.Mailing
    rates: Rates
    witness: Witness
    mailer: Mailer
    beat: work.Beat | None = None
    lanes: Lanes | None = None
    size: int = 0
    group: list[store.Recipient] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    asked_at: float = 0.0
    stale: int = 0
    #: Why the mailing is to be paused, if it is.
    doubt: str | None = None

    @property
    def patience(self) -> Patience:
        """How often and how long a mail is tried."""
        settings = self.runtime.settings
        longest = timedelta(seconds=settings.rollcall_mail_patience_seconds)
        return Patience(settings.rollcall_mail_attempts, self.runtime.retry, longest)


def deliver(runtime: Runtime, piece: work.Piece) -> None:
    """Send one piece of a mailing: group by group, each marked as begun before, and recorded after, it is sent.

    One transaction lies between two groups: it writes what became of the last and marks the next. A worker lost in
    between leaves at most one group uncertain (R19). What is not done within a turn is given back.
    """
    settings, endpoints = runtime.settings, runtime.endpoints
    mailer = _mailer(endpoints.smtp_url, settings.rollcall_smtp_connections, settings.rollcall_smtp_timeout_seconds)
    pause = min(settings.rollcall_retry_seconds, CIRCUIT_SECONDS)
    rates = _rates(endpoints, settings.rollcall_mail_rate, settings.rollcall_mail_domain_rate, pause)
    mailer.tells(rates.hold)
    with transaction(runtime.engine, piece.organisation) as connection:
        mailing = store.mailing(connection, piece.organisation, piece.subject)
        if mailing is None:
            work.finish(connection, piece)
            return
        witness = _witness(runtime.engine, endpoints.redis_url, runtime.home)
        size = settings.rollcall_mail_group
        delivery = _Delivery(runtime, piece, mailing, rates, witness, mailer, size=size)
        if piece.begun is not None:
            _take_over(connection, delivery, piece.begun)
    turn_ends = time.monotonic() + TURN_SECONDS
    rests = False
    while _record(delivery, rests=rests):
        attempts = _send(delivery)
        slow = len(attempts) < len(delivery.group)
        delivery.size = min(2 * len(attempts) + SMALLEST_GROUP, delivery.size) if slow else settings.rollcall_mail_group
        before = {recipient.recipient: recipient.before for recipient in delivery.group}
        patience = delivery.patience
        delivery.outcomes = [
            outcome_of(attempt, before[attempt.recipient], patience, policy=mailing.policy) for attempt in attempts
        ]
        tried = {recipient.recipient: recipient.address for recipient in delivery.group}
        for outcome in delivery.outcomes:
            outcome.address = tried[outcome.recipient]
        delivery.doubt = _doubt(delivery, attempts)
        rests = runtime.stopping.is_set()
        if not rests and time.monotonic() >= turn_ends:
            rests = not _alone(delivery)
            turn_ends = time.monotonic() + TURN_SECONDS


def _alone(delivery: _Delivery) -> bool:
    """Whether nobody waits for a turn, where connections are scarce: whoever took the piece next might have none."""
    if delivery.lanes is None or not delivery.lanes.scarce:
        return False
    with transaction(delivery.runtime.engine) as connection:
        return not work.others_wait(connection, delivery.piece.queue)


def _doubt(delivery: _Delivery, attempts: Sequence[Attempt]) -> str | None:
    """Why an announcement is to pause itself: nearly everybody's server refuses it, so something is wrong with it."""
    mailing = delivery.mailing
    if mailing.kind is not Kind.ANNOUNCEMENT:
        return None
    answers = _answers(delivery.runtime.endpoints.database_url, mailing.organisation, mailing.mailing)
    answers.extend(one.answer is Answer.REFUSED for one in attempts if one.answer in {Answer.REFUSED, Answer.ACCEPTED})
    refusals = [one for one in attempts if one.answer is Answer.REFUSED]
    if not refusals or not refused_by_nearly_all(answers):
        return None
    said = as_said(f"{refusals[-1].code} {refusals[-1].reply or ''}")
    many, of_all = sum(answers), len(answers)
    answers.clear()
    return f"it paused itself: {many} of its last {of_all} mails were refused, the last one with: {said}"


@lru_cache(maxsize=256)
def _answers(_database_url: str, _organisation: int, _mailing: int) -> deque[bool]:
    """Which of the last answers to a mailing, in this process, refused it."""
    return deque(maxlen=LAST_ANSWERS)


def _take_over(connection: Connection, delivery: _Delivery, begun: int) -> None:
    """Judge what a lost worker had begun, as the mailing's policy has it (R19)."""
    piece = delivery.piece
    lost = store.begun_by_lost(connection, piece.organisation, piece.subject, piece.low, begun)
    outcomes = [
        outcome_of(
            Attempt(recipient, Answer.WORKER_LOST), Before(tried), delivery.patience, policy=delivery.mailing.policy
        )
        for recipient, tried in lost
    ]
    store.settle(connection, piece.organisation, piece.subject, outcomes)
    work.extend(connection, piece, delivery.runtime.lease)
    log.warning("mail.worker_lost", mailing=piece.subject, begun=len(lost))


def _record(delivery: _Delivery, *, rests: bool) -> bool:
    """Write what became of the last group, and mark the next; False where there is none, or the piece is to rest.

    What is known is written also if the database is away for a while: nobody could find it out again (R19). Should
    somebody else take the piece over meanwhile, the fence says so.
    """
    piece = delivery.piece
    for attempt in retrying(seconds=KNOWN_SECONDS if delivery.outcomes else None):
        with attempt, transaction(delivery.runtime.engine, piece.organisation) as connection:
            outcomes = delivery.outcomes
            if delivery.doubt and pause_once(connection, piece.organisation, piece.subject, delivery.doubt):
                outcomes = [held(outcome) for outcome in outcomes]
                log.warning("mail.paused_itself", mailing=piece.subject, why=delivery.doubt)
            store.settle(connection, piece.organisation, piece.subject, outcomes)
            if rests:
                work.release(connection, piece, after=timedelta(), failed=False)
                return False
            return _begin_group(connection, delivery)
    return False


def _begin_group(connection: Connection, delivery: _Delivery) -> bool:
    """Mark the next recipients who may be mailed as begun; False where the piece is finished or rests."""
    piece = delivery.piece
    size = delivery.size
    if piece.begun is not None:
        size = (
            1  # one of a group took its worker down: those beside it are not to be tried, or uncertain, with it again
        )
    if delivery.witness.due:
        restored.notice(connection, delivery.witness)
    while True:
        delivery.asked_at = time.monotonic()
        asked = store.at_the_gate(
            connection,
            piece.organisation,
            piece.subject,
            piece.low,
            piece.high,
            size,
        )
        if not asked:
            _leave(connection, piece)
            return False
        if any(recipient.verdict is Verdict.PAUSED for recipient in asked):
            if not store.stays_paused(connection, piece.organisation, piece.subject):
                continue
            work.release(connection, piece, after=timedelta(), failed=False, held=True)
            return False
        refused = [recipient for recipient in asked if recipient.verdict is not Verdict.SEND]
        store.settle(
            connection,
            piece.organisation,
            piece.subject,
            [skipped(recipient.recipient, recipient.verdict) for recipient in refused],
        )
        group = [recipient for recipient in asked if recipient.verdict is Verdict.SEND]
        if group and group[0].look_up:
            group = restored.without_known(connection, delivery.mailing, group)
        if group:
            return _begin_at_pace(connection, delivery, group)


def _begin_at_pace(connection: Connection, delivery: _Delivery, asked: Sequence[store.Recipient]) -> bool:
    """Mark as many as the pace allows; False where it allows none, and the piece rests until it does."""
    piece = delivery.piece
    waited_for = delivery.mailing.kind is not Kind.ANNOUNCEMENT
    use = delivery.mailer.use(len(asked))
    grant = delivery.rates.grant([recipient.domain for recipient in asked], waited_for=waited_for, use=use)
    delivery.lanes = grant.lanes
    group = [recipient for recipient, allowed in zip(asked, grant.allowed, strict=True) if allowed]
    pause = timedelta(seconds=grant.wait)
    out = [recipient.recipient for recipient, is_out in zip(asked, grant.out, strict=False) if is_out]
    if out:
        store.put_off(connection, piece.organisation, piece.subject, out, timedelta(seconds=grant.out_wait))
    if not group:  # where domains are out, the others of the piece come next
        delivery.mailer.heed(grant.lanes)  # somebody else may wait for a connection
        work.release(connection, piece, after=timedelta() if out else pause, failed=False)
        return False
    last = group[-1].recipient
    waits = [
        recipient.recipient
        for recipient, allowed in zip(asked, grant.allowed, strict=True)
        if not allowed and recipient.recipient < last and recipient.recipient not in out
    ]
    if waits:
        store.put_off(connection, piece.organisation, piece.subject, waits, pause)
    again = [recipient.recipient for recipient in group if recipient.retried]
    if again:
        store.begin_again(connection, piece.organisation, piece.subject, again)
    delivery.beat = work.mark(connection, piece, last, delivery.runtime.lease)
    if delivery.witness.contradicts(delivery.beat):
        delivery.witness.look_soon()
        connection.rollback()
        raise work.LostLease(f"work {piece.work} was begun in another database")
    delivery.group = group
    return True


def _leave(connection: Connection, piece: work.Piece) -> None:
    """Nobody is left to be mailed now: the piece is finished, or waits until somebody is due again."""
    seconds = store.next_try_seconds(connection, piece.organisation, piece.subject, piece.low, piece.high)
    if seconds is None:
        work.finish(connection, piece)
    else:
        work.release(connection, piece, after=timedelta(seconds=seconds), failed=False)


def _send(delivery: _Delivery) -> list[Attempt]:
    """Send a group; what became of each that was begun, which the pace is told, too. None is where too much has passed
    since the gate was asked about them; but mail goes also where it always does."""
    begun = time.monotonic()
    if begun - delivery.asked_at > GATE_STALE_SECONDS and delivery.stale < OFTEN:
        delivery.stale += 1
        return []
    delivery.stale = 0
    if delivery.beat is not None:
        delivery.witness.went(delivery.beat, numbers(delivery.mailing, delivery.group))
    unmade: list[Attempt] = []
    sender = identity(delivery.runtime)

    def envelopes() -> Iterator[Envelope]:
        """Each message is made when a connection is free for it."""
        for recipient in delivery.group:
            try:
                yield compose(delivery.mailing, recipient, sender)
            except ValueError:
                unmade.append(Attempt(recipient.recipient, Answer.IMPOSSIBLE))
            except Exception as problem:  # noqa: BLE001 - a bug of ours holds up nobody else
                log.error(  # noqa: TRY400 - a traceback may quote people's data
                    "mail.not_made", mailing=delivery.piece.subject, **without_data(problem)
                )
                unmade.append(Attempt(recipient.recipient, Answer.DEFERRED, reply="the message could not be made"))

    mailer = delivery.mailer
    within = GATE_HOLDS_SECONDS
    if delivery.lanes is not None and delivery.lanes.scarce:
        within += max(GATE_STALE_SECONDS - (begun - delivery.asked_at), 0.0)
    attempts = mailer.send(envelopes(), within=within, lanes=delivery.lanes)
    domains = {recipient.recipient: recipient.domain for recipient in delivery.group}
    became = [(domains[each.recipient], each) for each in attempts]
    before = {recipient.recipient: recipient.before for recipient in delivery.group}
    hold_back(became, before, delivery.rates.taken)
    delivery.rates.learn(
        became,
        time.monotonic() - begun,
        connected=mailer.connected_since(begun),
        use=mailer.use(delivery.runtime.settings.rollcall_mail_group),
        refused=mailer.refused(),
    )
    return attempts + unmade
