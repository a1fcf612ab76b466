"""Suppressions: the addresses that get no more mail from an organisation, and why."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from config.errors import BadField, Invalid, NotFound
from tasks import mail
from tasks.acts.acting import Doing, act
from tasks.acts.announcements import with_recipients
from tasks.acts.exporting import exported
from tasks.acts.paging import USUAL, After, Limit, Page, Stream, keys_after, page, page_ending_at
from tasks.events import Moment
from tasks.reports import Format, stream

Address = Annotated[str, Meta(min_length=1, max_length=320, description="A mail address, in any case.")]
Why = Annotated[str, Meta(max_length=10_000)]

#: Addresses that a page of those that are searched for looks at.
SCANNED = 20_000


@dataclass(frozen=True, slots=True)
class SuppressionDecision:
    """What a person made of an address."""

    address: str
    suppressed: bool
    changed: bool


@dataclass(frozen=True, slots=True)
class Lifted:
    """How many addresses a person lets get mail again, or would."""

    lifted: int
    dry_run: bool


@dataclass(frozen=True, slots=True)
class SuppressionsPage:
    """How many, and after which; of those alone whose address has this part. With `search`, a page looks at so many
    addresses and may hold fewer than `limit`, even none: go on while `next` is not null."""

    search: Annotated[str, Meta(max_length=320)] | None = None
    limit: Limit = USUAL
    after: After | None = None


@dataclass(frozen=True, slots=True)
class SuppressionsExport:
    """How they are written."""

    format: Format = Format.CSV


@dataclass(frozen=True, slots=True)
class NewSuppression:
    """An address, and why it is to get no more mail."""

    address: Address
    why: Why


@dataclass(frozen=True, slots=True)
class SuppressionsChosen:
    """Addresses by name; or all that the others choose together: those of a reason, those that the announcement
    `mailing` was refused at or came back from, those of a stretch of time."""

    addresses: Annotated[list[Address], Meta(max_length=10_000)] | None = None
    reason: mail.Suppressed | None = None
    mailing: str | None = None
    since: Moment | None = None
    until: Moment | None = None
    why: Why | None = None
    dry_run: bool = False


@act("suppressions.list", "GET suppressions")
def list_(doing: Doing, asked: SuppressionsPage) -> Page[mail.NumberedSuppression]:
    """List the addresses, in the order in which they were suppressed."""
    number = doing.organisation.organisation
    listed = ("suppressions", number, asked.search)
    (after,) = keys_after(asked.after, tuple[int], *listed) or (0,)
    with doing.transaction() as connection:
        if asked.search and not after and (whole := mail.suppression_of(connection, number, asked.search)):
            return Page([*whole], None)
        end = mail.suppression_place(connection, number, after, SCANNED) if asked.search else None
        part = asked.search or None
        found = mail.suppressions_after(connection, number, after, asked.limit + 1, part=part, until=end)
    if len(found) > asked.limit:
        return page(found, asked.limit, lambda one: (one.number,), *listed)
    return page_ending_at(found, None if end is None else (end,), *listed)


@act("suppressions.export", "GET suppressions/export")
def export(doing: Doing, asked: SuppressionsExport) -> Stream:
    """Export every address, the oldest first: since when and why, and who decided it if a person did."""
    number = doing.organisation.organisation
    return exported(
        doing,
        "suppressions",
        asked.format,
        lambda connection: stream(connection, mail.SUPPRESSIONS, number, None, asked.format),
    )


@act("suppressions.add", "POST suppressions")
def add(doing: Doing, asked: NewSuppression) -> SuppressionDecision:
    """Send an address no more mail, whoever has it."""
    known = mail.mail_key(asked.address)
    try:
        mail.wire_address(known)
    except ValueError as problem:
        raise Invalid(str(problem), [BadField("/address", str(problem))]) from None
    number, reason = doing.organisation.organisation, mail.Suppressed.BY_HAND
    with doing.transaction() as connection:
        changed = mail.suppress(connection, number, known, reason, why=asked.why, by=doing.caller.who)
        doing.record(connection, after={"suppressed": int(changed), "reason": reason})
    return SuppressionDecision(known, suppressed=True, changed=changed)


@act("suppressions.remove", "DELETE suppressions")
def remove(doing: Doing, asked: SuppressionsChosen) -> Lifted:
    """Send addresses mail again. What came back from them before counts no more."""
    org = doing.organisation
    named = [mail.mail_key(address) for address in asked.addresses or []]
    chosen = any(one is not None for one in (asked.reason, asked.mailing, asked.since, asked.until))
    if bool(named) == chosen:
        raise Invalid("Name addresses, or choose them by reason, mailing, since or until.")
    wanted = mail.Chosen(named or None, asked.reason, asked.mailing, asked.since, asked.until)
    with doing.transaction() as connection:
        if asked.mailing is not None:
            with_recipients(connection, org, asked.mailing)
        if asked.dry_run:
            lifted = mail.count_suppressions(connection, org.organisation, wanted)
        else:
            lifted = mail.lift(connection, org.organisation, wanted, why=asked.why, by=doing.caller.who)
            doing.record(connection, asked.mailing, before={"suppressed": lifted, "reason": asked.reason})
        if len(named) == 1 and not lifted:
            raise NotFound(f"The organisation {org.id!r} has not suppressed {named[0]!r}.")
    return Lifted(lifted, asked.dry_run)
