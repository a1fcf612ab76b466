"""A mail server's log, read for what became of mails of ours, by Message-ID. Pure.

What is asked is whether the server that we hand our mail to took it: Postfix says so by a queue file that becomes
active and by each `status=`, Sendmail by each `stat=`, Exim by the line with `<=`. Of other logs, a line that has both
the Message-ID and a word that says so is enough. A mail that is only mentioned may have been refused: nobody knows.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from tasks.mail.ledger.message_ids import number_of

#: A Message-ID of ours: forty hexadecimal digits, under any domain; in brackets, or not, as Exim writes it.
_OURS = re.compile(r"(?<![\w.+-])([0-9a-f]{40})@[\w.-]+", re.ASCII)

#: The line of Exim that a mail has come in by, and its name in Exim's queue.
_EXIM_ARRIVAL = re.compile(r"\b(\w{6}-\w{6,11}-\w{2,4}) <= ", re.ASCII)

#: The name that Postfix or Sendmail gives a mail in the queue, after `program[pid]: `.
_QUEUED = re.compile(r"\]: ([0-9A-Za-z]{5,24}): ", re.ASCII)

#: The line in which they say a Message-ID.
_NAMES = re.compile(r"\b(?:message-id|msgid)=")

#: What Postfix and Sendmail say of a mail that they have taken, whatever became of it after that.
_TAKEN = re.compile(
    r"\(queue active\)|\bstatus=(?:sent|deferred|bounced|expired)\b|\b[Ss]tat=(?:Sent|Deferred|queued)\b"
)

#: What they say of one that they have not.
_REFUSED = re.compile(r"\b(?:milter-)?(?:reject|discard): |\b[Ss]tat=.*\b5\d\d\b|\brejected (?:after|by) ")

#: What a line of any other log says of a mail that was taken.
_SAYS_TAKEN = re.compile(
    r"""\b(?:status|event|event-id|action|result|type)\W{0,4}(?:sent|delivered|delivery|accepted|receive[d]?|send|submit)\b
        |(?<![\d.])2[015]0[ -](?:2\.\d\.\d|ok)|\bdsn=2\.|\bqueued as\b|\b(?:message )?accepted\b""",
    re.ASCII | re.IGNORECASE | re.VERBOSE,
)


@dataclass(slots=True)
class InLog:
    """What a log says: its lines, and the mails of ours in it, by the numbers of their Message-IDs; whether the server
    is known to have taken each."""

    lines: int = 0
    mails: dict[int, bool] = field(default_factory=dict)


def read(lines: Iterable[str]) -> InLog:
    """Read a log, line by line, oldest first."""
    found = InLog()
    queued: dict[str, int] = {}
    turned_away: set[int] = set()
    for line in lines:
        found.lines += 1
        name = _QUEUED.search(line)
        ours = [number_of(digits) for digits in _OURS.findall(line)]
        if name is not None:
            if ours:
                queued[name[1]] = ours[0]
            elif _NAMES.search(line):  # the name is used again, for somebody else's
                queued.pop(name[1], None)
            elif (one := queued.get(name[1])) is not None:
                ours = [one]
        if not ours:
            continue
        if name is not None:
            taken, refused = bool(_TAKEN.search(line)), bool(_REFUSED.search(line))
        else:
            exim = _EXIM_ARRIVAL.search(line)
            refused = exim is None and bool(_REFUSED.search(line))
            taken = exim is not None or (not refused and bool(_SAYS_TAKEN.search(line)))
        for one in ours:
            found.mails[one] = found.mails.get(one, False) or taken
        if refused:
            turned_away.update(ours)
    for one in turned_away:  # they did not go, unless they were taken at another time
        if not found.mails[one]:
            del found.mails[one]
    return found
