"""With one recipient in twenty answered 451 at first: what that costs, and whether anybody is lost or gets two."""

from collections import Counter

from bench.mail.report import Check, Measured, Report, faster, nothing_wrong
from bench.mail.rollcall import Letter, Run, rollcall, senders
from bench.mail.sink import RecordingSink, recording
from bench.mail.source import Size, described, learners_for, warm
from bench.system import System

#: Per cent of the recipients who are put off the first time.
PERCENT = 5.0

#: What must be left of the rate.
LEAST = 0.7

#: The first pause before another try, in seconds: short, or the end of a mailing would be nothing but that pause.
_PAUSE = {"ROLLCALL_RETRY_SECONDS": "1"}


def measure(system: System, letter: Letter, size: Size) -> Report:
    """Messages a second with and without, in alternating rounds, into a sink that writes down what it took."""
    clean: list[Run] = []
    put_off: list[Run] = []
    waited: list[int] = []
    for turn in range(size.rounds):
        for percent in (0.0, PERCENT) if turn % 2 == 0 else (PERCENT, 0.0):
            with recording(system.home, defer=percent) as sink:
                run = _run(system, sink, size)
                (put_off if percent else clean).append(run)
                if percent:
                    waited.append(sum(line[0] == "deferred" for line in sink.lines()))
    before = Measured("Rollcall, clean", described(size, letter), clean)
    after = Measured(
        "Rollcall, 451 at first",
        f"{PERCENT:g} % of recipients are answered 451 to their first RCPT; the first pause is 1 s "
        "(ROLLCALL_RETRY_SECONDS=1), in both",
        put_off,
    )
    return Report(
        f"{PERCENT:g} % answered 451 at first",
        [before, after],
        [faster(after, before, LEAST)],
        [
            *nothing_wrong([before, after]),
            Check(f"put off, round by round: {', '.join(f'{n:,}' for n in waited)}", all(waited)),
        ],
    )


def _run(system: System, sink: RecordingSink, size: Size) -> Run:
    with (
        system.database("deferred", learners_for(size.mails)) as database,
        rollcall(system, database, sink.port, senders(size.bulk, size.threads), _PAUSE) as running,
    ):
        warm(running)
        sink.forget()
        return running.send("letter", lambda: _recipients(sink))


def _recipients(sink: RecordingSink) -> Counter[str]:
    sink.settle()
    return Counter(taken.recipient for taken in sink.taken())
