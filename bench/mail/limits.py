"""A server that takes three connections: what goes over them beside three plain ones, and how long a notice takes."""

import smtplib
import threading
import time
from collections import Counter
from functools import partial
from itertools import count

from bench.figures import Goal, Ratio, percentile
from bench.mail.during import AT_REST, COURSE, Asked
from bench.mail.report import Check, Measured, Report, faster, nothing_wrong
from bench.mail.rollcall import Letter, Run, counted, rollcall, senders
from bench.mail.sink import Manners, RecordingSink, recording
from bench.mail.source import Size, described, learners_for, warm
from bench.mail.usage import Usage
from bench.system import INGRESS, MAIL, System, id_of

#: Connections that the server takes, and seconds that the end of a message takes there.
CONNECTIONS = 3
TAKES_SECONDS = 0.02

#: What must go over them, of what three plain connections carry; and the seconds that a notice may take meanwhile.
LEAST = 0.9
NOTICE_MOST = 3.0

#: Seconds between two notices.
_BETWEEN_SECONDS = 1.0


def measure(system: System, letter: Letter, size: Size) -> Report:
    """Messages a second over three plain connections, and Rollcall's where it would open more, in alternating rounds;
    then how long notices take beside a second mailing of half the size."""
    plain: list[Run] = []
    ours: list[Run] = []
    notices: list[float] = []
    refused: list[int] = []
    all_there = True
    for turn in range(size.rounds):
        with recording(system.home, manners=Manners(limit=CONNECTIONS, takes=TAKES_SECONDS)) as sink:
            if turn % 2 == 0:
                plain.append(_plain(sink, size.mails, letter))
            with (
                system.database("limits", learners_for(size.mails)) as database,
                rollcall(system, database, sink.port, INGRESS | senders(size.bulk, size.threads) | MAIL) as running,
            ):
                database.execute(COURSE)
                warm(running)
                database.wait_for(AT_REST)
                sink.forget()
                ours.append(running.send("letter", partial(_recipients, sink)))
                asked = Asked(system, "limits", (n for n in count(1) if n % 50 > 2 and n % 25 != 7))
                some = [word for n in range(1, size.mails // 2) for word in ("--learner", id_of(n))]
                running.announce("beside notices", *some)
                running.finish("beside notices", asked.notice, _BETWEEN_SECONDS)
                database.wait_for(AT_REST)
                waited = asked.waited(sink)
            notices += [waited_for / 1000 for waited_for in waited.notices]
            all_there &= waited.all_there
            refused.append(sum(line[0] == "refused" for line in sink.lines()))
            if turn % 2:
                plain.append(_plain(sink, size.mails, letter))
    rolled = Measured(
        "Rollcall",
        f"it would open ten connections in each process, {described(size, letter)}",
        ours,
    )
    simple = Measured("three plain connections", f"smtplib, in a thread each, {letter.size:,} octets", plain)
    worst = Ratio(
        "a notice meanwhile: worst", "the middle one", "s", [max(notices)], [percentile(notices, 50)], digits=2,
        goal=Goal(NOTICE_MOST, most=True, of_ratio=False),
    )  # fmt: skip
    return Report(
        f"A server that takes {CONNECTIONS} connections, {TAKES_SECONDS * 1000:g} ms for each message",
        [rolled, simple],
        [faster(rolled, simple, LEAST), worst],
        [
            *nothing_wrong([rolled, simple]),
            Check(f"{len(notices)} notices meanwhile, all at the sink", all_there),
            Check(f"connections refused, round by round: {', '.join(map(str, refused))}", True),
        ],
    )


def _recipients(sink: RecordingSink) -> Counter[str]:
    sink.settle()
    return Counter(taken.recipient for taken in sink.taken())


def _plain(sink: RecordingSink, mails: int, letter: Letter) -> Run:
    """What as many connections carry as the server takes."""
    sink.forget()
    message = b"Subject: plain\r\nFeedback-ID: plain:1:plain:bench\r\n\r\n" + b"x" * 70 + b"\r\n"
    message += (b"x" * 70 + b"\r\n") * (max(letter.size - len(message), 0) // 72)
    shares = [range(first, mails, CONNECTIONS) for first in range(CONNECTIONS)]

    def send(share: range) -> None:
        with smtplib.SMTP("127.0.0.1", sink.port) as connection:
            for number in share:
                connection.sendmail("training@rollcall.example", [f"r{number}@plain.example"], message)

    begun = time.monotonic()
    threads = [threading.Thread(target=send, args=(share,)) for share in shares]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - begun
    sink.settle()
    at_sink = Counter(taken.recipient for taken in sink.taken())
    expected = {f"r{number}@plain.example" for number in range(mails)}
    return Run(mails, seconds, Usage({"smtplib": 0.0}, {"smtplib": 0.0}), *counted(expected, at_sink))
