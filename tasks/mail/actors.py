"""Sending: claim a piece, ask the gate, mark what is begun, send, write every outcome."""

import time
from collections.abc import Sequence
from datetime import timedelta
from functools import lru_cache

import structlog
from sqlalchemy import Connection

from config.database import retrying, transaction
from config.runtime import Endpoints, Runtime
from config.settings import SmtpServer
from tasks import work
from tasks.bounces import ReturnPaths
from tasks.mail import store
from tasks.mail.compose import compose
from tasks.mail.rules import Answer, Attempt, Outcome, Verdict, outcome_of, skipped
from tasks.mail.smtp import Envelope, Mailer

log = structlog.get_logger()

#: Seconds for which the gate's verdict holds: what is not begun by then is asked about again (R15, R20).
GATE_HOLDS_SECONDS = 0.1

#: Seconds a piece is worked on before others get their turn: a slow server holds up nobody for longer (R31).
TURN_SECONDS = 2.0


@lru_cache(maxsize=1)
def _mailer(smtp_url: str, connections: int, timeout: float) -> Mailer:
    return Mailer(SmtpServer.parse(smtp_url), connections=connections, timeout=timeout)


def deliver(runtime: Runtime, piece: work.Piece) -> None:
    """Send one piece of a mailing: group by group, each marked as begun before, and recorded after, it is sent.

    One transaction lies between two groups: it writes what became of the last and marks the next. A worker lost in
    between leaves at most one group uncertain (R19). What is not done within a turn is given back.
    """
    settings = runtime.settings
    mailer = _mailer(
        runtime.endpoints.smtp_url, settings.rollcall_smtp_connections, settings.rollcall_smtp_timeout_seconds
    )
    with transaction(runtime.engine, piece.organisation) as connection:
        mailing = store.mailing(connection, piece.organisation, piece.subject)
        if mailing is None:
            work.finish(connection, piece)
            return
        if piece.begun is not None:
            _take_over(connection, runtime, mailing, piece, piece.begun)
    turn_ends = time.monotonic() + TURN_SECONDS
    failures = piece.failures
    outcomes: list[Outcome] = []
    rest: timedelta | None = None
    while group := _record(runtime, piece, outcomes, rest, failed=failures > 0):
        attempts = _send(mailer, mailing, group, runtime.endpoints)
        outcomes = _outcomes(runtime, mailing, group, attempts)
        if any(attempt.answer is Answer.ACCEPTED for attempt in attempts):
            failures = 0
        if _asks_for_patience(attempts):
            rest = work.pause_before(failures, runtime.retry)
            failures += 1
        elif runtime.stopping.is_set() or time.monotonic() >= turn_ends:
            rest = timedelta()


def _take_over(connection: Connection, runtime: Runtime, mailing: store.Mailing, piece: work.Piece, begun: int) -> None:
    """Judge what a lost worker had begun, as the mailing's policy has it (R19)."""
    lost = store.begun_by_lost(connection, piece.organisation, piece.subject, piece.low, begun)
    attempts = [Attempt(recipient, Answer.WORKER_LOST) for recipient, _ in lost]
    outcomes = [_outcome(runtime, mailing, attempt, tried) for attempt, (_, tried) in zip(attempts, lost, strict=True)]
    store.settle(connection, piece.organisation, piece.subject, outcomes)
    work.extend(connection, piece, runtime.lease)
    log.warning("mail.worker_lost", mailing=piece.subject, begun=len(lost))


def _record(
    runtime: Runtime, piece: work.Piece, outcomes: Sequence[Outcome], rest: timedelta | None, *, failed: bool
) -> list[store.Recipient] | None:
    """Write what became of the last group, and mark the next; None where there is none or the piece is to rest."""
    for attempt in retrying():
        with attempt, transaction(runtime.engine, piece.organisation) as connection:
            store.settle(connection, piece.organisation, piece.subject, outcomes)
            if rest is None:
                return _next_group(connection, runtime, piece)
            work.release(connection, piece, after=rest, failed=failed)
    return None


def _next_group(connection: Connection, runtime: Runtime, piece: work.Piece) -> list[store.Recipient] | None:
    """The next recipients who may be mailed, marked as begun; None where the piece is finished or rests."""
    settings = runtime.settings
    while True:
        asked = store.at_the_gate(
            connection, piece.organisation, piece.subject, piece.low, piece.high, settings.rollcall_mail_group
        )
        if not asked:
            _leave(connection, piece)
            return None
        if any(recipient.verdict is Verdict.PAUSED for recipient in asked):
            if not store.stays_paused(connection, piece.organisation, piece.subject):
                continue
            work.release(connection, piece, after=timedelta(), failed=False, held=True)
            return None
        refused = [recipient for recipient in asked if recipient.verdict is not Verdict.SEND]
        store.settle(
            connection,
            piece.organisation,
            piece.subject,
            [skipped(recipient.recipient, recipient.verdict) for recipient in refused],
        )
        group = [recipient for recipient in asked if recipient.verdict is Verdict.SEND]
        if group:
            again = [recipient.recipient for recipient in group if recipient.retried]
            if again:
                store.begin_again(connection, piece.organisation, piece.subject, again)
            work.mark(connection, piece, group[-1].recipient, runtime.lease)
            return group


def _leave(connection: Connection, piece: work.Piece) -> None:
    """Nobody is left to be mailed now: the piece is finished, or waits until somebody is due again."""
    seconds = store.next_try_seconds(connection, piece.organisation, piece.subject, piece.low, piece.high)
    if seconds is None:
        work.finish(connection, piece)
    else:
        work.release(connection, piece, after=timedelta(seconds=seconds), failed=False)


def _send(
    mailer: Mailer, mailing: store.Mailing, group: Sequence[store.Recipient], endpoints: Endpoints
) -> list[Attempt]:
    returns = ReturnPaths(endpoints.bounce_address, endpoints.secret_key)
    envelopes: list[Envelope] = []
    attempts: list[Attempt] = []
    for recipient in group:
        try:
            envelopes.append(compose(mailing, recipient, endpoints.mail_from, returns))
        except ValueError:
            attempts.append(Attempt(recipient.recipient, Answer.IMPOSSIBLE))
    return attempts + mailer.send(envelopes, within=GATE_HOLDS_SECONDS)


def _outcomes(
    runtime: Runtime, mailing: store.Mailing, group: Sequence[store.Recipient], attempts: Sequence[Attempt]
) -> list[Outcome]:
    tried_before = {recipient.recipient: recipient.attempts for recipient in group}
    return [_outcome(runtime, mailing, attempt, tried_before[attempt.recipient]) for attempt in attempts]


def _outcome(runtime: Runtime, mailing: store.Mailing, attempt: Attempt, tried_before: int) -> Outcome:
    most = runtime.settings.rollcall_mail_attempts
    return outcome_of(attempt, tried_before, most=most, pause=runtime.retry, policy=mailing.policy)


def _asks_for_patience(attempts: Sequence[Attempt]) -> bool:
    """Whether to leave the server in peace: it cannot be reached, or puts off more than single recipients (R21)."""
    if any(attempt.answer is Answer.UNREACHABLE for attempt in attempts):
        return True
    throttled = [attempt for attempt in attempts if attempt.answer is Answer.THROTTLED]
    return any(attempt.code in {421, 454} for attempt in throttled) or len(throttled) * 2 > len(attempts)
