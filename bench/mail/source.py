"""Beside smtp-source, the fastest sender there is: it has no ledger, no queue and no template."""

from collections.abc import Callable
from dataclasses import dataclass

from bench.mail.postfix import SESSIONS, Postfix, Sink
from bench.mail.report import Measured, Report, faster, nothing_wrong
from bench.mail.rollcall import Letter, Rollcall, Run, rollcall, senders
from bench.mail.sink import recording
from bench.mail.usage import Usage
from bench.system import System, id_of

#: What Rollcall must reach of it.
LEAST = 0.8

#: Learners who get a first, uncounted letter, so that what is compiled once is compiled and every process has sent.
_WARM = 400


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured, and with how many processes that send, of how many threads."""

    mails: int
    rounds: int
    bulk: int = 2
    threads: int = 1


def learners_for(mails: int) -> int:
    """How many learners there must be for a mailing to everyone to reach so many: one in ten is inactive or has no
    address."""
    return mails * 10 // 9


def measure(system: System, postfix: Postfix, letter: Letter, size: Size) -> Report:
    """Messages a second, in alternating rounds, into the same running smtp-sink."""
    ours: list[Run] = []
    theirs: list[Run] = []
    body = letter.size - _overhead(system, postfix)
    with (
        postfix.listening(system.home) as sink,
        system.database("mail", learners_for(size.mails)) as database,
        rollcall(system, database, sink.port, senders(size.bulk, size.threads)) as running,
    ):
        warm(running)
        sink.recipients()

        def announce(turn: int) -> None:
            ours.append(running.send(f"letter-{turn}", sink.recipients))

        def source(_: int) -> None:
            theirs.append(_source(postfix, sink, size.mails, body))

        ways: list[Callable[[int], None]] = [announce, source]
        for turn in range(size.rounds):
            database.execute("CHECKPOINT")
            for way in ways if turn % 2 == 0 else reversed(ways):
                way(turn)
    rolled = Measured("Rollcall", described(size, letter), ours)
    sourced = Measured(
        "smtp-source",
        f"{SESSIONS} sessions kept open (-d -s {SESSIONS}), a recipient each (-N), the same {letter.size:,} octets; "
        "into the same smtp-sink -v, whose log is where recipients are counted for both",
        theirs,
    )
    return Report(
        "Beside smtp-source",
        [rolled, sourced],
        [faster(rolled, sourced, LEAST)],
        nothing_wrong([rolled, sourced]),
    )


def described(size: Size, letter: Letter) -> str:
    """How Rollcall is set up."""
    return (
        f"relay, tasks and {size.bulk} × `pool bulk --threads {size.threads}`, everything else as it comes; a letter "
        f"of {letter.size:,} octets, text and HTML, six merge fields; from launched to finished, audience included"
    )


def warm(running: Rollcall) -> None:
    """Send some mail that is not counted."""
    some = [word for n in range(1, _WARM) for word in ("--learner", id_of(n))]
    running.announce("warm", *some)
    running.finish("warm")


def _overhead(system: System, postfix: Postfix) -> int:
    """Octets that smtp-source's own headers add to the body it is asked for."""
    with recording(system.home) as sink:
        postfix.send(sink.port, 1, 1000)
        sink.settle()
        (taken,) = sink.taken()
    return taken.size - 1000


def _source(postfix: Postfix, sink: Sink, mails: int, body: int) -> Run:
    sent = postfix.send(sink.port, mails, body)
    at_sink = sink.recipients()
    used = Usage({"smtp-source": sent.cpu}, {"smtp-source": sent.peak})
    return Run(mails, sent.seconds, used, mails - len(at_sink), at_sink.total() - len(at_sink))
