"""What a report does, in one transaction: it is kept, and may be the end of mail to an address (R21, R32)."""

from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import structlog
from sqlalchemy import Connection, Engine

from config.counting import counts
from config.database import retrying, share_organisation, transaction
from config.runtime import Runtime
from tasks import mail
from tasks.bounces import store
from tasks.bounces.reader import BounceReport, read
from tasks.bounces.rules import Bounce, BounceKind, Ignored, in_a_row, judge
from tasks.cells import check_here, in_cell_of_number
from tasks.mail import Links, ReturnPaths, Suppressed, Token, fingerprint

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message that came to an address of ours; of a long one the beginning."""

    sender: str
    recipient: str
    content: bytes


def record_bounce(runtime: Runtime, returns: ReturnPaths, arrived: Arrived) -> BounceKind | Ignored:
    """Take a message that came back; what came of it, once that is stored where the organisation lives. Raises what
    the database raises, and `Unavailable` while the organisation is on its way to another cell."""
    report = read(arrived.content)
    said = judge(report, null_sender=not arrived.sender)
    token = _token(returns, arrived, report)
    if isinstance(said, Ignored):
        outcome: BounceKind | Ignored = said
    elif token is not None:
        meant, bounce = token, said
        outcome = in_cell_of_number(runtime, token.organisation, lambda there: _store(there.engine, meant, bounce))
    elif said.kind is BounceKind.COMPLAINT and (learner := _who_complains(returns, report)):
        whose, who = learner
        announcement = report.feedback_id.partition(":")[0]
        outcome = in_cell_of_number(runtime, whose, lambda there: _unsubscribe(there.engine, whose, who, announcement))
    else:
        outcome = Ignored.UNMATCHED
    if isinstance(outcome, BounceKind):
        counts.count("rollcall_bounces_total", kind=outcome.value)
    log.info(
        "bounces.taken" if isinstance(outcome, BounceKind) else "bounces.ignored",
        outcome=outcome.value,
        organisation=token and token.organisation,
        mailing=token and token.mailing,
    )
    return outcome


def _token(returns: ReturnPaths, arrived: Arrived, report: BounceReport) -> Token | None:
    """The delivery meant: what the recipient names, or, of a complaint sent to the bounce address itself, the envelope
    sender that it quotes. Either is signed; nothing else that a message says of itself is believed."""
    quoted = report.senders if report.complains else ()
    named = (returns.read(address) for address in (arrived.recipient, *quoted))
    return next((token for token in named if token is not None), None)


def _who_complains(returns: ReturnPaths, report: BounceReport) -> tuple[int, int] | None:
    """The organisation and the learner whose link to unsubscribe is in the mail that a complaint returns, as those of
    Microsoft do, which quote no envelope sender. The link is signed, too; a Message-ID is not, and proves nothing."""
    if not returns.keys:
        return None
    links = Links("", returns.keys)
    tokens = (urlsplit(link).path.rstrip("/").rpartition("/")[2] for link in report.links)
    return next((learner for token in tokens if (learner := links.read(token)) is not None), None)


def _unsubscribe(engine: Engine, organisation: int, learner: int, announcement: str) -> BounceKind | Ignored:
    """A complaint of an announcement, known by its learner: they get no more of them."""
    for attempt in retrying():
        with attempt, transaction(engine, organisation) as connection:
            share_organisation(connection, organisation)
            if not store.known(connection, organisation, learner):
                check_here(connection, (), [organisation])
                return Ignored.UNMATCHED
            mail.unsubscribe(connection, organisation, [learner])
            store.record_complaint(connection, organisation, learner, unquote(announcement))
    return BounceKind.COMPLAINT


def _store(engine: Engine, token: Token, bounce: Bounce) -> BounceKind | Ignored:
    for attempt in retrying():
        with attempt, transaction(engine, token.organisation) as connection:
            share_organisation(connection, token.organisation)
            reported = store.reported(connection, token)
            if reported is None:
                check_here(connection, (), [token.organisation])
                return Ignored.UNMATCHED
            if not store.record(connection, token, bounce):
                return Ignored.KNOWN
            _follow(connection, token, bounce, reported)
    return bounce.kind


def _follow(connection: Connection, token: Token, bounce: Bounce, reported: store.Reported) -> None:
    """What follows. Who complains of an announcement gets no more of them; of a notice, from which nobody can
    unsubscribe, no more mail at all."""
    same_address = fingerprint(reported.address) == token.fingerprint
    if bounce.kind is BounceKind.COMPLAINT and reported.announcement:
        mail.unsubscribe(connection, token.organisation, [token.recipient])
    elif same_address and reported.counts and (reason := _reason(connection, token, bounce, reported)):
        mail.suppress(connection, token.organisation, reported.address, reason, why=bounce.status)


def _reason(connection: Connection, token: Token, bounce: Bounce, reported: store.Reported) -> Suppressed | None:
    match bounce.kind:
        case BounceKind.COMPLAINT:
            return Suppressed.COMPLAINT
        case BounceKind.HARD:
            return Suppressed.HARD
        case BounceKind.SOFT | BounceKind.BLOCKED if in_a_row(store.history(connection, token, reported.address)):
            return Suppressed.SOFT
        case _:
            return None
