"""How many connections may be open to the mail server, of all processes together: one that it refuses lowers their
number and nothing else, time brings it back (R21), and what somebody waits for finds room (R31). Pure; `rates.py` keeps
the state where every worker sees it. It may be lost: then the server says again how many it takes.
"""

import math
from dataclasses import dataclass, field, replace

from tasks.mail.sending.pace import SKEW_SECONDS, Lanes

#: Seconds after which what a process said of its connections holds no more; halfway it says it again.
LEASE_SECONDS = 8.0

#: Seconds after which one more is tried than the server took; doubles with each time that it was refused, so often.
GROW_SECONDS = 5.0
MOST_DOUBLINGS = 4

#: Seconds for which room is kept for what somebody waits for and that found none; and after which somebody who found
#: none no longer waits.
WANTED_SECONDS = 2.0

#: Seconds between two tries where none is let in, and for how many that is no outage yet: others may have taken them.
AGAIN_SECONDS = 0.5
SHUT_OUT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Use:
    """What a process has and wants: connections that are open, those of them that are in use or soon will be, and what
    it wants in all."""

    open: int
    busy: int
    wants: int


@dataclass(frozen=True, slots=True)
class Holder:
    """What a process last said: how many it has or may open, what it wants, and until when that holds."""

    open: int
    wants: int
    until: float


@dataclass(frozen=True, slots=True)
class Slots:
    """How many the server takes, None where it never refused one, and who holds them."""

    limit: int | None = None
    #: When the limit last changed, whether it grew then, and how often in a row that was too much.
    since: float = 0.0
    grew: bool = False
    too_many: int = 0
    #: Since when none was let in, and until when room is kept for what is waited for.
    shut_out: float | None = None
    wanted: float = 0.0
    held: dict[str, Holder] = field(default_factory=dict)


def allotted(slots: Slots, me: str, use: Use, now: float, *, waited_for: bool) -> tuple[Lanes, Slots]:
    """How many connections a process may have now, and what that changes. Where the server limits them, announcements
    leave one to what is waited for, as soon as that finds none, and nobody has more than its part while others have
    none."""
    held = _present(slots, now)
    others = [holder for name, holder in held.items() if name != me]
    elsewhere = sum(holder.open for holder in others)
    if slots.limit is None:
        before = held.get(me, Holder(0, 0, now))
        most = max(use.open, use.wants, before.open), max(use.wants, before.wants)
        lanes = Lanes(use.wants - use.busy, use.wants, company=elsewhere > 0)
        return lanes, replace(slots, held=_said(held, me, *most, now))
    limit, since, grew, too_many = slots.limit, min(slots.since, now), slots.grew, slots.too_many
    if use.wants + sum(holder.wants for holder in others) > limit and now - since >= grows_after(slots):
        limit, since, grew, too_many = limit + 1, now, True, 0 if grew else too_many
    leaves = not waited_for and now < slots.wanted <= now + WANTED_SECONDS + SKEW_SECONDS
    room = limit - elsewhere - int(leaves)
    claims = [holder for holder in others if holder.wants]
    if any(not holder.open and holder.until > now + LEASE_SECONDS - WANTED_SECONDS for holder in claims):
        room = min(room, math.ceil(limit / (len(claims) + 1)))
    if not elsewhere and not use.open and 0 <= now - slots.since < AGAIN_SECONDS:
        room = 0
    may = max(min(use.wants, room), 0)
    wanted = slots.wanted
    if waited_for:
        wanted = 0.0 if may > use.busy else now + WANTED_SECONDS
    said = _said(held, me, max(use.open, may), use.wants, now)
    changed = replace(slots, limit=limit, since=since, grew=grew, too_many=too_many, wanted=wanted, held=said)
    return Lanes(max(may - use.busy, 0), may, company=elsewhere > 0, scarce=True), changed


def reported(slots: Slots, me: str, use: Use, now: float, *, refused: bool = False) -> Slots:
    """What a process really has, and whether it was refused one: then there are as many as are open now."""
    held = _said(_present(slots, now), me, use.open, use.wants, now)
    total = sum(holder.open for holder in held.values())
    if not refused:
        return replace(slots, held=held, shut_out=None if total else slots.shut_out)
    return replace(
        slots,
        limit=max(total if slots.limit is None else min(total, slots.limit), 1),
        since=now,
        grew=False,
        too_many=slots.too_many + 1 if slots.grew else slots.too_many,
        shut_out=None if total else now if slots.shut_out is None else min(slots.shut_out, now),
        held=held,
    )


def shut_out(slots: Slots, now: float) -> bool:
    """Whether for long enough not one connection was let in: that is an outage."""
    return slots.shut_out is not None and now - slots.shut_out >= SHUT_OUT_SECONDS


def grows_after(slots: Slots) -> float:
    """Seconds without a refusal after which one more is tried."""
    return GROW_SECONDS * 2.0 ** min(slots.too_many, MOST_DOUBLINGS)


def _present(slots: Slots, now: float) -> dict[str, Holder]:
    """Who said something lately, by this clock."""
    latest = now + LEASE_SECONDS + SKEW_SECONDS
    return {name: holder for name, holder in slots.held.items() if now < holder.until <= latest}


def _said(held: dict[str, Holder], me: str, open_: int, wants: int, now: float) -> dict[str, Holder]:
    """With what a process says now; the same as before, if it said so lately."""
    before = held.get(me)
    if not open_ and not wants:
        return {name: holder for name, holder in held.items() if name != me}
    if before is not None and (before.open, before.wants) == (open_, wants):
        late = LEASE_SECONDS / 2 if open_ else LEASE_SECONDS - WANTED_SECONDS / 2
        if before.until > now + late:
            return held
    return held | {me: Holder(open_, wants, now + LEASE_SECONDS)}
