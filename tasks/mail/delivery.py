"""The loop that sends a piece of a mailing: ask the gate and the pace, mark a group as begun, send it, record it.

One transaction lies between two groups: it writes what became of the last and marks the next. A worker lost in between
leaves at most one group uncertain (R19). What is not done within a turn is given back.
"""

import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from functools import lru_cache, partial
from pathlib import Path

import structlog
from sqlalchemy import Connection, Engine

from config.addresses import sender_address
from config.counting import counts, provider_of, reply_class
from config.database import after_commit, retrying, transaction
from config.log import without_data
from config.runtime import Endpoints, Runtime
from config.settings import SmtpServer
from tasks import work
from tasks.mail.composing import compose, identity
from tasks.mail.ledger import Mailing, Recipient, Witness, deliveries, digested, gate, mailings, pause_once, restored
from tasks.mail.rules import (
    LAST_ANSWERS,
    Before,
    Kind,
    MailAttempt,
    MailResult,
    Outcome,
    RetryPolicy,
    Verdict,
    deferred_by_pause,
    hold_back,
    outcome_of,
    refused_by_nearly_all,
    skipped,
)
from tasks.mail.rules import (
    Delivery as DeliveryState,
)
from tasks.mail.sending import Envelope, Feedback, Lanes, Mailer, Rates, as_said

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


class Leaves(StrEnum):
    """Why a worker leaves a piece."""

    FINISHED = "nobody is left to be mailed"
    RESTS = "somebody is left who is due later, or others get their turn"
    PAUSED = "the mailing, or all mail, is paused"
    PACED = "the pace allows no mail now"


@dataclass(frozen=True, slots=True)
class Leaving:
    """How a piece is left: why, and how long it then rests."""

    why: Leaves
    rests: timedelta = timedelta()


@dataclass(frozen=True, slots=True)
class BegunGroup:
    """Recipients who are marked as begun, when the gate was asked about them, and what their mail goes over."""

    recipients: Sequence[Recipient]
    asked_at: float
    beat: work.Beat
    lanes: Lanes | None

    @property
    def scarce(self) -> bool:
        """Whether the server limits connections."""
        return self.lanes is not None and self.lanes.scarce


@dataclass(frozen=True, slots=True)
class Results:
    """What became of a group, why the mailing is to pause itself, if it is, and whether the worker's turn is over."""

    outcomes: Sequence[Outcome] = ()
    pause_because: str | None = None
    turn_is_over: bool = False


@dataclass(slots=True)
class _Delivery:
    """A piece of a mailing in the hands of a worker."""

    runtime: Runtime
    piece: work.Piece
    mailing: Mailing
    rates: Rates
    witness: Witness
    mailer: Mailer
    #: How many are begun together, and how often in a row a group was too old to be sent.
    size: int
    stale: int = 0
    #: What became of the last group, where the pace may learn from it as it is asked about the next.
    feedback: Feedback | None = None
    turn_ends: float = field(default_factory=lambda: time.monotonic() + TURN_SECONDS)

    @property
    def policy(self) -> RetryPolicy:
        """How often and how long a mail is tried."""
        settings = self.runtime.settings
        longest = timedelta(seconds=settings.rollcall_mail_patience_seconds)
        return RetryPolicy(settings.rollcall_mail_attempts, self.runtime.retry, longest)

    def take_feedback(self) -> Feedback | None:
        """What the pace is still to learn from, once. If it waited for too long, as for the database, the next group
        says as much."""
        feedback, self.feedback = self.feedback, None
        return feedback if feedback is not None and feedback.is_fresh else None


def send_piece(runtime: Runtime, piece: work.Piece) -> None:
    """Send one piece of a mailing, group by group, until it is left."""
    delivery = _claim(runtime, piece)
    if delivery is None:
        return
    group = _record(delivery, Results())
    while isinstance(group, BegunGroup):
        group = _record(delivery, _send(delivery, group))
    if feedback := delivery.take_feedback():
        delivery.rates.learn(feedback)


def _claim(runtime: Runtime, piece: work.Piece) -> _Delivery | None:
    """Take a piece over, with what a lost worker had begun of it (R19); None if its mailing is gone."""
    settings, endpoints = runtime.settings, runtime.endpoints
    mailer = _mailer(endpoints.smtp_url, settings.rollcall_smtp_connections, settings.rollcall_smtp_timeout_seconds)
    pause = min(settings.rollcall_retry_seconds, CIRCUIT_SECONDS)
    rates = _rates(endpoints, settings.rollcall_mail_rate, settings.rollcall_mail_domain_rate, pause)
    mailer.report_use_to(rates.hold)
    with transaction(runtime.engine, piece.organisation) as connection:
        mailing = mailings.mailing(connection, piece.organisation, piece.subject)
        if mailing is None:
            work.finish(connection, piece)
            return None
        witness = _witness(runtime.engine, endpoints.redis_url, runtime.home)
        delivery = _Delivery(runtime, piece, mailing, rates, witness, mailer, settings.rollcall_mail_group)
        if piece.begun is not None:
            _judge_lost(connection, delivery, piece.begun)
    return delivery


def _judge_lost(connection: Connection, delivery: _Delivery, begun: int) -> None:
    """Judge what a lost worker had begun, as the mailing's policy has it (R19)."""
    piece = delivery.piece
    lost = deliveries.begun_by_lost(connection, piece.organisation, piece.subject, piece.low, begun)
    outcomes = [
        outcome_of(
            MailAttempt(recipient, MailResult.WORKER_LOST),
            Before(tried),
            delivery.policy,
            policy=delivery.mailing.policy,
        )
        for recipient, tried in lost
    ]
    _settle(connection, delivery, outcomes)
    work.extend(connection, piece, delivery.runtime.lease)
    log.warning("mail.worker_lost", mailing=piece.subject, begun=len(lost))


def _settle(connection: Connection, delivery: _Delivery, outcomes: Sequence[Outcome]) -> None:
    """Write outcomes into the ledger, and count them once that is committed."""
    deliveries.settle(connection, delivery.piece.organisation, delivery.piece.subject, outcomes)
    became = Counter("deferred" if one.state is DeliveryState.PENDING else one.state.value for one in outcomes)
    kind = delivery.mailing.kind.value
    for outcome, n in became.items():
        after_commit(connection, partial(counts.count, "rollcall_mails_total", n, kind=kind, outcome=outcome))


def _record(delivery: _Delivery, results: Results) -> BegunGroup | Leaving:
    """Write what became of the last group, and mark the next, or leave the piece, in one transaction.

    What is known is written also if the database is away for a while: nobody could find it out again (R19). Should
    somebody else take the piece over meanwhile, the fence says so.
    """
    piece = delivery.piece
    for attempt in retrying(seconds=KNOWN_SECONDS if results.outcomes else None):
        with attempt, transaction(delivery.runtime.engine, piece.organisation, pipelined=True) as connection:
            outcomes, why = results.outcomes, results.pause_because
            if why and pause_once(connection, piece.organisation, piece.subject, why):
                outcomes = [deferred_by_pause(outcome) for outcome in outcomes]
                log.warning("mail.paused_itself", mailing=piece.subject, why=why)
            _settle(connection, delivery, outcomes)
            found = Leaving(Leaves.RESTS) if results.turn_is_over else _next_group(connection, delivery)
            if isinstance(found, Leaving):
                _leave(connection, piece, found)
            return found
    raise AssertionError("the last attempt raises")


def _leave(connection: Connection, piece: work.Piece, left: Leaving) -> None:
    match left.why:
        case Leaves.FINISHED:
            work.finish(connection, piece)
        case Leaves.RESTS | Leaves.PACED:
            work.release(connection, piece, after=left.rests, failed=False)
        case Leaves.PAUSED:
            work.release(connection, piece, after=left.rests, failed=False, held=True)


def _next_group(connection: Connection, delivery: _Delivery) -> BegunGroup | Leaving:
    """Ask the gate about the next recipients, settle those it holds back, and mark the others as begun."""
    piece, mailing = delivery.piece, delivery.mailing
    # One of a group took its worker down: those beside it are not to be tried, or uncertain, with it again.
    size = delivery.size if piece.begun is None else 1
    if delivery.witness.due:
        restored.notice_restore(connection, delivery.witness)
    while True:
        asked_at = time.monotonic()
        asked = gate.at_the_gate(connection, piece.organisation, piece.subject, piece.low, piece.high, size)
        if not asked:
            return _nobody_now(connection, piece)
        group = [recipient for recipient in asked if recipient.verdict is Verdict.SEND]
        refused = [recipient for recipient in asked if recipient.verdict is not Verdict.SEND]
        if any(one.verdict is Verdict.PAUSED for one in refused):
            if gate.stays_paused(connection, piece.organisation, piece.subject):
                return Leaving(Leaves.PAUSED)
            continue
        _settle(connection, delivery, [skipped(one.recipient, one.verdict) for one in refused])
        if group and group[0].look_up:
            group = restored.without_known(connection, mailing, group)
        if group:
            return _begin_at_pace(connection, delivery, group, asked_at)


def _nobody_now(connection: Connection, piece: work.Piece) -> Leaving:
    """Nobody can be mailed now: the piece is finished, or waits until somebody is due again."""
    seconds = deliveries.next_try_seconds(connection, piece.organisation, piece.subject, piece.low, piece.high)
    return Leaving(Leaves.FINISHED) if seconds is None else Leaving(Leaves.RESTS, timedelta(seconds=seconds))


def _begin_at_pace(
    connection: Connection, delivery: _Delivery, asked: Sequence[Recipient], asked_at: float
) -> BegunGroup | Leaving:
    """Mark as many as the pace allows as begun, and put the others off."""
    piece, mailer = delivery.piece, delivery.mailer
    grant = delivery.rates.grant(
        [recipient.domain for recipient in asked],
        waited_for=delivery.mailing.kind is not Kind.ANNOUNCEMENT,
        use=mailer.use(len(asked)),
        feedback=delivery.take_feedback(),
    )
    group = [recipient for recipient, allowed in zip(asked, grant.allowed, strict=True) if allowed]
    pause = timedelta(seconds=grant.wait)
    out = [recipient.recipient for recipient, is_out in zip(asked, grant.out, strict=False) if is_out]
    if out:
        deliveries.put_off(connection, piece.organisation, piece.subject, out, timedelta(seconds=grant.out_wait))
    if not group:
        mailer.close_surplus(grant.lanes)  # somebody else may wait for a connection
        return Leaving(
            Leaves.PACED, timedelta() if out else pause
        )  # if domains are out, the others of the piece come next
    last = group[-1].recipient
    waits = [
        recipient.recipient
        for recipient, allowed in zip(asked, grant.allowed, strict=True)
        if not allowed and recipient.recipient < last and recipient.recipient not in out
    ]
    if waits:
        deliveries.put_off(connection, piece.organisation, piece.subject, waits, pause)
    again = [recipient.recipient for recipient in group if recipient.retried]
    if again:
        deliveries.begin_again(connection, piece.organisation, piece.subject, again)
    beat = work.mark(connection, piece, last, delivery.runtime.lease)
    if delivery.witness.contradicts(beat):
        delivery.witness.look_soon()
        connection.rollback()
        raise work.LostLease(f"work {piece.work} was begun in another database")
    return BegunGroup(group, asked_at, beat, grant.lanes)


def _send(delivery: _Delivery, group: BegunGroup) -> Results:
    """Send a group, and judge what became of each who was begun; how many are begun next time follows from it."""
    attempts = _attempts(delivery, group)
    most = delivery.runtime.settings.rollcall_mail_group
    slow = len(attempts) < len(group.recipients)
    delivery.size = min(2 * len(attempts) + SMALLEST_GROUP, delivery.size) if slow else most
    tried = {recipient.recipient: recipient for recipient in group.recipients}
    policy, mailing = delivery.policy, delivery.mailing
    outcomes = [outcome_of(each, tried[each.recipient].before, policy, policy=mailing.policy) for each in attempts]
    for outcome in outcomes:
        outcome.address = tried[outcome.recipient].address
    return Results(outcomes, _pause_because(delivery, attempts), _turn_is_over(delivery, group))


def _attempts(delivery: _Delivery, group: BegunGroup) -> list[MailAttempt]:
    """What became of each who was begun, from which the pace learns. None is begun if too much has passed since the
    gate was asked about them; but mail goes also where it always does."""
    begun = time.monotonic()
    age = begun - group.asked_at
    if age > GATE_STALE_SECONDS and delivery.stale < OFTEN:
        delivery.stale += 1
        return []
    delivery.stale = 0
    delivery.witness.went(group.beat, digested(delivery.mailing, group.recipients))
    mailer, unmade = delivery.mailer, list[MailAttempt]()
    within = GATE_HOLDS_SECONDS + (max(GATE_STALE_SECONDS - age, 0.0) if group.scarce else 0.0)
    attempts = mailer.send(_envelopes(delivery, group, unmade), within=within, lanes=group.lanes)
    tried = {recipient.recipient: recipient for recipient in group.recipients}
    became = [(tried[each.recipient].domain, each) for each in attempts]
    replies = Counter[tuple[str, str]]()
    for (code, domain), n in Counter((one.code, domain) for domain, one in became).items():  # most are of few domains
        replies[reply_class(code), provider_of(domain)] += n
    for (class_, provider), n in replies.items():
        counts.count("rollcall_smtp_replies_total", n, **{"class": class_, "domain": provider})
    before = {one.recipient: tried[one.recipient].before for one in attempts if one.answer is not MailResult.ACCEPTED}
    if before:
        hold_back(became, before, delivery.rates.taken)
    feedback = Feedback(
        became,
        time.monotonic() - begun,
        connected=mailer.connected_since(begun),
        use=mailer.use(delivery.runtime.settings.rollcall_mail_group),
        refused=mailer.refused(),
    )
    if feedback.may_wait:
        delivery.feedback = feedback
    else:
        delivery.rates.learn(feedback)
    return attempts + unmade


def _envelopes(delivery: _Delivery, group: BegunGroup, unmade: list[MailAttempt]) -> Iterator[Envelope]:
    """Each message is made when a connection is free for it; what cannot be made goes into `unmade`."""
    sender = identity(delivery.runtime)
    for recipient in group.recipients:
        try:
            yield compose(delivery.mailing, recipient, sender)
        except ValueError:
            unmade.append(MailAttempt(recipient.recipient, MailResult.IMPOSSIBLE))
        except Exception as problem:  # noqa: BLE001 - a bug of ours holds up nobody else
            log.error(  # noqa: TRY400 - a traceback may quote people's data
                "mail.not_made", mailing=delivery.piece.subject, **without_data(problem)
            )
            reply = "the message could not be made"
            unmade.append(MailAttempt(recipient.recipient, MailResult.DEFERRED, reply=reply))


def _turn_is_over(delivery: _Delivery, group: BegunGroup) -> bool:
    """Whether others get their turn (R31). If connections are scarce, only if others wait for one: whoever took the
    piece next might have none."""
    if delivery.runtime.stopping.is_set():
        return True
    if time.monotonic() < delivery.turn_ends:
        return False
    delivery.turn_ends = time.monotonic() + TURN_SECONDS
    if not group.scarce:
        return True
    with transaction(delivery.runtime.engine) as connection:
        return work.others_wait(connection, delivery.piece.queue)


def _pause_because(delivery: _Delivery, attempts: Sequence[MailAttempt]) -> str | None:
    """Why an announcement is to pause itself: nearly everybody's server refuses it, so something is wrong with it."""
    mailing = delivery.mailing
    if mailing.kind is not Kind.ANNOUNCEMENT:
        return None
    refused, accepted = MailResult.REFUSED, MailResult.ACCEPTED
    refusals = [one for one in attempts if one.answer is refused]
    lately = _refused_lately(delivery.runtime.endpoints.database_url, mailing.organisation, mailing.mailing)
    lately.extend([one.answer is refused for one in attempts if one.answer is refused or one.answer is accepted])
    if not refusals or not refused_by_nearly_all(lately):
        return None
    said = as_said(f"{refusals[-1].code} {refusals[-1].reply or ''}")
    many, of_all = sum(lately), len(lately)
    lately.clear()
    return f"it paused itself: {many} of its last {of_all} mails were refused, the last one with: {said}"


@lru_cache(maxsize=256)
def _refused_lately(_database_url: str, _organisation: int, _mailing: int) -> deque[bool]:
    """Which of the last answers to a mailing, in this process, refused it."""
    return deque(maxlen=LAST_ANSWERS)
