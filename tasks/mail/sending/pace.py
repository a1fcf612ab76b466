"""How fast mail may go: token buckets that throttling lowers and time brings back, and the circuit that opens where
nobody answers. Pure; `rates.py` keeps the state where every worker sees it."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from tasks.mail.rules import MailAttempt, MailResult
from tasks.mail.sending.answers import About, Stage
from tasks.mail.sending.outages import UNREACHABLE, as_said

#: Seconds in which a rate that was lowered doubles.
RECOVERY_SECONDS = 10.0

#: Seconds after a rate was lowered in which what else was under way does not lower it again.
LOWERED_ONCE_SECONDS = 1.0

#: The least mails a second that throttling leaves, and the most, at which nothing is left of it.
LEAST_RATE = 0.5
FREE_RATE = 100_000.0

#: The part of a second's mails that announcements leave to what somebody waits for.
RESERVE = 0.1

#: The part of a sample of answers that may be put off before a rate is lowered; how many are a sample, and over how
#: many seconds at least; after how many it is too old to say anything.
TOLERATED = 0.2
SAMPLE = 20
SAMPLE_SECONDS = 1.0
SAMPLE_OLD_SECONDS = 60.0

#: How much more must be taken, in parts of what was, once a rate is lowered; else it was not the rate.
HELPED = 1.5

#: The least mails a second at which it is tried first whether slowing down helps: so that it is soon known.
FIRST_TRIAL = 10.0

#: Seconds for which nothing is made of answers that put off: after a sample in which few did, and after slowing down
#: did not help, as it does not where a server greylists.
FINE_SECONDS = 5.0
NO_HELP_SECONDS = 60.0

#: Seconds until it is worth asking again at least: so that mails go several at a time.
LEAST_WAIT_SECONDS = 0.1

#: How far the clocks of workers may differ, in seconds; what is later was written before a clock was set back.
SKEW_SECONDS = 2.0

#: The longest time for which a circuit stays open, in seconds.
LONGEST_OPEN_SECONDS = 60.0

#: Recipients refused in a row, after which it is sure that everybody is.
SURE = 50

#: What state is kept under: the sender's bucket, the circuit, the connections; other keys are domains.
SENDER = "@sender"
CIRCUIT = "@circuit"
SLOTS = "@connections"


@dataclass(frozen=True, slots=True)
class Limits:
    """What may go at most, in mails a second (infinite where nothing is set), and the first pause of a circuit."""

    sender: float
    domain: float
    pause: float

    def of(self, key: str) -> float:
        """The limit of a bucket."""
        return self.sender if key == SENDER else self.domain

    def shared_by(self, workers: int) -> "Limits":
        """The share of each worker that knows nothing of the others."""
        return replace(self, sender=self.sender / workers, domain=self.domain / workers)


@dataclass(frozen=True, slots=True)
class Measurement:
    """Answers since a time, which may be to come: how many took a mail, or refused it, and how many put it off.
    `before`: the part that took one before the rate was lowered to see whether that helps; None where it was not."""

    since: float
    taken: int = 0
    put_off: int = 0
    before: float | None = None


@dataclass(frozen=True, slots=True)
class Bucket:
    """Tokens at a time, a token a mail; to how many a second throttling has lowered it, and when; and the answers by
    which it is judged whether the server throttles, where some were put off."""

    tokens: float
    at: float
    lowered: float | None = None
    since: float = 0.0
    sample: Measurement | None = None

    def rate(self, limit: float, now: float) -> float:
        """Mails a second: the limit, or what throttling has left of it by now (R21)."""
        if self.lowered is None:
            return limit
        since = self.since if self.since <= now + SKEW_SECONDS else now
        back = self.lowered * 2.0 ** min(max(now - since, 0.0) / RECOVERY_SECONDS, 64.0)
        return limit if back >= FREE_RATE else min(back, limit)

    def holds(self, limit: float, now: float) -> float:
        """Tokens now: what comes in within a second, at most; never less than one mail's worth."""
        rate = self.rate(limit, now)
        return rate if math.isinf(rate) else min(self.tokens + max(now - self.at, 0.0) * rate, max(rate, 1.0))

    def spent(self, mails: int, limit: float, now: float) -> "Bucket":
        """What is left after so many mails."""
        tokens = self.holds(limit, now)
        at = self.at if now < self.at <= now + SKEW_SECONDS else now
        since = min(self.since, now)
        return replace(self, tokens=0.0 if math.isinf(tokens) else tokens - mails, at=at, since=since)

    def throttled(self, seen: float, limit: float, now: float) -> "Bucket":
        """Half as fast as mail went, once for all that was under way (R21). `seen`: mails a second."""
        if self.lowered is not None and now - self.since < LOWERED_ONCE_SECONDS:
            return self
        return Bucket(0.0, now, max(min(self.rate(limit, now), seen) / 2, LEAST_RATE), now)

    def weighed(self, seen: "Seen", limit: float, now: float, seconds: float) -> "Bucket":
        """Slower where many of a sample, over a time, were put off (R21). Where nobody said that it is the rate, it may
        be greylisting: then it is tried whether slowing down helps, and given up where it does not."""
        sample = self.sample
        if sample is not None and not now - SAMPLE_OLD_SECONDS < sample.since <= now + NO_HELP_SECONDS + SKEW_SECONDS:
            sample = None
        if sample is None or (seen.slower and sample.since > now and now - self.since >= LOWERED_ONCE_SECONDS):
            if not seen.put_off:
                return self if self.sample is None else replace(self, sample=None)
            sample = Measurement(now - seconds)
        if now < sample.since:
            return self
        sample = replace(sample, taken=sample.taken + seen.taken, put_off=sample.put_off + seen.put_off)
        many, took = sample.taken + sample.put_off, max(now - sample.since, 0.01)
        if many < SAMPLE or (took < SAMPLE_SECONDS and not seen.slower):
            return replace(self, sample=sample)
        part = sample.taken / many
        if part >= 1.0 - TOLERATED:
            return replace(self, sample=Measurement(now + FINE_SECONDS) if self.lowered is None else None)
        before = None if seen.slower else sample.before
        if before is not None and part <= HELPED * before and 1.0 - part > (1.0 - before) / 2:
            return Bucket(
                self.holds(limit, now) if math.isfinite(limit) else 0.0, now, sample=Measurement(now + NO_HELP_SECONDS)
            )
        rate = min(self.rate(limit, now), many / took) / 2
        if sample.taken:
            rate = min(rate, sample.taken / took)
        trial = Measurement(now + LOWERED_ONCE_SECONDS, before=None if seen.slower else part)
        least = LEAST_RATE if seen.slower or self.lowered is not None else FIRST_TRIAL
        return Bucket(0.0, now, max(rate, least), now, trial)


@dataclass(slots=True)
class Seen:
    """What became of mails that one bucket counts. `slower`: some were told in words that they come too fast."""

    taken: int = 0
    put_off: int = 0
    slower: bool = False


@dataclass(frozen=True, slots=True)
class Circuit:
    """How often in a row nobody answered, or we were refused, and until when nobody is to try; since when that is so,
    and what was said."""

    failures: int
    until: float
    since: float = 0.0
    about: str = ""
    code: int | None = None
    said: str = ""
    refused: bool = False
    #: Refusals of us in a row; while they are too few to be sure, the circuit is only shown, and holds up nobody.
    in_a_row: int = 0


State: TypeAlias = Mapping[str, Bucket | Circuit]
Changes: TypeAlias = dict[str, Bucket | Circuit | None]


@dataclass(frozen=True, slots=True)
class Lanes:
    """How many connections one sending may use, the process may have in all, and whether others have some; `scarce`:
    the server limits them."""

    mine: int
    in_all: int
    company: bool = False
    scarce: bool = False


@dataclass(frozen=True, slots=True)
class Grant:
    """Which of those asked for may be mailed now, and in how many seconds to ask again for the others."""

    allowed: list[bool]
    wait: float
    #: Those whose domain is out, whatever the pace, and in how many seconds to ask again for them.
    out: list[bool] = field(default_factory=list)
    out_wait: float = 0.0
    lanes: Lanes | None = None


def granted(
    state: State, domains: Sequence[str], limits: Limits, now: float, *, reserve: float
) -> tuple[Grant, Changes]:
    """Which mails, each to a domain, may go now, and what that changes. Where the circuit was open one may, to see
    whether somebody answers; the others wait for what comes of it."""
    if not state and math.isinf(limits.sender) and math.isinf(limits.domain):
        return Grant([True] * len(domains), 0.0), {}
    changes: Changes = {}
    most: dict[str, int] = {SENDER: len(domains)}
    out_wait = 0.0
    for key in (CIRCUIT, *map(circuit_of, dict.fromkeys(domains))):
        circuit = state.get(key)
        if not isinstance(circuit, Circuit) or not circuit.failures:
            continue
        whom = key.removeprefix(CIRCUIT).strip() or SENDER
        if now < circuit.until <= now + LONGEST_OPEN_SECONDS + SKEW_SECONDS:
            if key == CIRCUIT:
                return Grant([False] * len(domains), circuit.until - now), {}
            out_wait = max(out_wait, circuit.until - now)
            most[whom] = 0
        else:
            changes[key] = replace(circuit, until=now + _open_seconds(circuit.failures, limits))
            most[whom] = 1
    buckets = {key: _bucket(state, key, limits, now) for key in (SENDER, *domains)}
    left = {key: bucket.holds(limits.of(key), now) for key, bucket in buckets.items()}
    rate = buckets[SENDER].rate(limits.sender, now)
    if math.isfinite(rate):
        left[SENDER] -= min(reserve * rate, max(rate, 1.0) - 1.0)
    spent: Counter[str] = Counter()
    allowed = []
    for domain in domains:
        goes = spent[SENDER] < most[SENDER] and left[SENDER] >= 1.0 and left[domain] >= 1.0
        goes = goes and spent[domain] < most.get(domain, len(domains))
        allowed.append(goes)
        if goes:
            for key in (SENDER, domain):
                left[key] -= 1.0
                spent[key] += 1
    rates = {key: bucket.rate(limits.of(key), now) for key, bucket in buckets.items()}
    changes |= {
        key: bucket.spent(spent[key], limits.of(key), now)
        for key, bucket in buckets.items()
        if not math.isinf(limits.of(key)) or bucket.lowered is not None
    }
    short = [(1.0 - left[key]) / rates[key] for key in buckets if left[key] < 1.0] or [0.0]
    out = [most.get(domain, 1) == 0 for domain in domains]
    return Grant(allowed, max(*short, LEAST_WAIT_SECONDS), out, out_wait), changes


def learnt(
    state: State,
    attempts: Sequence[tuple[str, MailAttempt]],
    limits: Limits,
    now: float,
    *,
    mails_a_second: float,
    seconds: float = 0.0,
    connected: bool = False,
    lately: bool = False,
) -> Changes:
    """What is to be changed by what became of mails within so many seconds, each to a domain; `connected`: a connection
    was made, though perhaps too late to begin anything on it; `lately`: the server took mail of other domains a moment
    ago."""
    if not state and all(attempt.answer is MailResult.ACCEPTED for _, attempt in attempts):
        return {}
    changes = _circuits(state, attempts, limits, now, connected=connected, lately=lately)
    for key, seen in _seen(attempts).items():
        bucket = _bucket(state, key, limits, now)
        weighed = bucket.weighed(seen, limits.of(key), now, seconds)
        if weighed != bucket:
            changes[key] = weighed
    if any(_throttles_sender(attempt) for _, attempt in attempts):
        changes[SENDER] = _bucket(state, SENDER, limits, now).throttled(mails_a_second, limits.sender, now)
    return changes


def _bucket(state: State, key: str, limits: Limits, now: float) -> Bucket:
    bucket = state.get(key)
    limit = limits.of(key)
    return bucket if isinstance(bucket, Bucket) else Bucket(0.0 if math.isinf(limit) else max(limit, 1.0), now)


def circuit_of(domain: str) -> str:
    """What the circuit of one domain is kept under."""
    return f"{CIRCUIT} {domain}"


def _circuits(
    state: State,
    attempts: Sequence[tuple[str, MailAttempt]],
    limits: Limits,
    now: float,
    *,
    connected: bool,
    lately: bool,
) -> Changes:
    """Which circuits open or close. One that refuses us closes if a mail is taken; the one where nobody answered, with
    any answer."""
    found = state.get(CIRCUIT)
    known = found if isinstance(found, Circuit) else None
    refusals = [(domain, attempt) for domain, attempt in attempts if attempt.answer is MailResult.REFUSED_US]
    taken = {domain for domain, attempt in attempts if attempt.answer is MailResult.ACCEPTED}
    answered = connected or any(
        attempt.code is not None and attempt.answer is not MailResult.UNREACHABLE for _, attempt in attempts
    )
    unreached = [attempt for _, attempt in attempts if attempt.answer in {MailResult.UNREACHABLE, MailResult.AMBIGUOUS}]
    changes: Changes = {circuit_of(domain): None for domain in taken if circuit_of(domain) in state}
    if refusals:
        changes |= _refused(state, refusals, limits, now, alone=bool(taken) or _alone(state, refusals, lately))
    if known is not None and CIRCUIT not in changes and (taken or (answered and not known.refused)):
        changes[CIRCUIT] = None
    elif unreached and not answered:
        changes[CIRCUIT] = _opened(known, unreached[-1], limits, now)
    return changes


def _alone(state: State, refusals: Sequence[tuple[str, MailAttempt]], lately: bool) -> bool:
    """Whether these are domains that alone are refused, as it was before, or while the server took others' mail. What
    is said before a recipient is named is about all."""
    domains = {domain for domain, _ in refusals}
    before = all(circuit_of(domain) in state for domain in domains) or (lately and len(domains) == 1)
    return before and not any(attempt.stage is Stage.MAIL for _, attempt in refusals)


def _refused(
    state: State, refusals: Sequence[tuple[str, MailAttempt]], limits: Limits, now: float, *, alone: bool
) -> Changes:
    """Refusals that would meet everybody open the circuit of all; if one domain is refused `alone`, as by its own
    policy, that domain's, so that nobody else's mail waits for it (R31)."""
    last = refusals[-1][1]
    domains = dict.fromkeys(domain for domain, _ in refusals)
    of_all = not alone and (
        len(domains) > 1
        or any(attempt.about is About.SIGN_IN or attempt.stage is Stage.MAIL for _, attempt in refusals)
    )
    opened: Changes = {}
    for key in [CIRCUIT] if of_all else [circuit_of(domain) for domain in domains]:
        found = state.get(key)
        known = found if isinstance(found, Circuit) else None
        here = [one for domain, one in refusals if key in {CIRCUIT, circuit_of(domain)}]
        in_a_row = len(here) + (known.in_a_row if known is not None else 0)
        circuit = replace(_opened(known, last, limits, now), in_a_row=in_a_row)
        sure = in_a_row >= SURE or any(one.stage is Stage.MAIL for one in here)
        opened[key] = circuit if sure else replace(circuit, failures=0, until=now)
    return opened


def _opened(circuit: Circuit | None, attempt: MailAttempt, limits: Limits, now: float) -> Circuit:
    """Open, for a pause that doubles each time; what else was under way when it opened says nothing new."""
    failures = 0 if circuit is None else circuit.failures
    return Circuit(
        failures + 1,
        now + _open_seconds(failures, limits),
        since=circuit.since if circuit is not None and circuit.since else now,
        about=attempt.about.value if attempt.about is not None else UNREACHABLE,
        code=attempt.code,
        said=as_said(attempt.reply or ""),
        refused=attempt.answer is MailResult.REFUSED_US,
    )


def _open_seconds(failures: int, limits: Limits) -> float:
    return min(limits.pause * 2.0 ** min(failures, 20), LONGEST_OPEN_SECONDS)


def _throttles_sender(attempt: MailAttempt) -> bool:
    """Whether the server asks us in so many words, and not the mail of one recipient, for patience."""
    if attempt.answer is not MailResult.THROTTLED or attempt.about in _NOT_THE_RATE:
        return False
    return attempt.code in {421, 454} or (attempt.about is About.RATE and not attempt.on_recipient)


#: What puts off a mail, and would however slowly mail went.
_NOT_THE_RATE = frozenset({About.FULL, About.GREYLISTED, About.CONNECTIONS})

#: When it is the mail of one recipient that is put off, as by greylisting, which some do only after the data.
_OF_RECIPIENT = frozenset({Stage.RCPT, Stage.DATA, Stage.END})


def _seen(attempts: Sequence[tuple[str, MailAttempt]]) -> dict[str, Seen]:
    """What became of mails by what counts them: their domain, and the sender where they were put off before a recipient
    was named."""
    seen: dict[str, Seen] = defaultdict(Seen)
    for domain, attempt in attempts:
        if attempt.answer in {MailResult.ACCEPTED, MailResult.REFUSED}:
            seen[domain].taken += 1
            seen[SENDER].taken += 1
        elif attempt.answer is MailResult.THROTTLED and attempt.about not in _NOT_THE_RATE:
            counted = seen[domain if attempt.on_recipient or attempt.stage in _OF_RECIPIENT else SENDER]
            counted.put_off += 1
            counted.slower |= attempt.about is About.RATE
    return seen
