"""`rollcall demo`: the main job on the sample organisation, with real servers and every process, told as a story."""

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import redis
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from config import services
from config.database import transaction
from config.runtime import Runtime
from config.streams import OUT, make_redis
from config.words import counted
from samples import generate as sample
from tasks import announcements, audit, enrolments, events, learners, mail, reports, seats
from tasks.acts.signing_in import GOOD_ONCE, TO_CONSOLE, link_for_this_machine
from tasks.system import system_state
from workers.commands.common import Json, Refused, asked, document, opened, out, progress_bar, who
from workers.commands.events import publish_lines

#: The events of the sample organisation.
SAMPLE = Path(sample.__file__).with_name("demo.jsonl")

#: Seconds for the processes to be ready, and for the main job to be done.
READY_SECONDS = 60
DONE_SECONDS = 300

LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Sum:
    """A count, its parts, and whether they add up to it."""

    what: str
    total: int
    parts: dict[str, int]

    @property
    def adds_up(self) -> bool:
        """Whether it does."""
        return self.total == sum(self.parts.values())


@dataclass(slots=True)
class Chapter:
    """A part of the account: what happened, and the counts that show it."""

    title: str
    story: str
    sums: list[Sum] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class DemoResult:
    """The account, and whether all of it adds up. `alone`: nothing was done there but by this run; otherwise other work
    is in the counts, which need not add up."""

    adds_up: bool
    alone: bool
    chapters: list[Chapter]

    @property
    def is_wrong(self) -> bool:
        """Whether it does not add up, and nobody else's work can be why."""
        return self.alone and not self.adds_up


def result_of(chapters: list[Chapter], *, alone: bool) -> DemoResult:
    """The account, and whether all of it adds up."""
    return DemoResult(all(part.adds_up for chapter in chapters for part in chapter.sums), alone, chapters)


def demo(json_: Json = False) -> None:
    """Run the main job on the sample organisation, with every process, and tell the story."""
    with opened("demo", services.EVERYTHING, make=True) as runtime:
        client = make_redis(runtime.endpoints.redis_url)
        before = events_known(runtime)
        with ExitStack() as up:
            runs = services.is_up(runtime.home)
            if not runs:
                up.enter_context(_everything_up(runtime.home.absolute()))
            columns = (SpinnerColumn(), BarColumn(bar_width=20), TextColumn("{task.description}"), TimeElapsedColumn())
            with progress_bar(*columns, quiet=json_) as progress:
                with SAMPLE.open("rb") as lines:
                    published = publish_lines(client, (line.rstrip(b"\n") for line in lines), progress)
                _until_done(runtime, client, progress)
            # somebody reads this who may want to open the console: then everything stays up for them
            stays = not runs and not json_ and sys.stdin.isatty() and sys.stdout.isatty()
            if not stays:
                up.close()
            stored = events_known(runtime) - before
            result = result_of(account(runtime, client, published, stored), alone=_is_alone(runtime, before, stored))
            if json_:
                document(result)
            else:
                _print_account(result, runtime.home, _sign_in_link(runtime), runs=runs or stays)
                if stays:
                    out.print()
                    out.print("[bold]Everything runs until you press Ctrl-C.[/]")
            if stays and not result.is_wrong:
                with suppress(KeyboardInterrupt):
                    threading.Event().wait()
    if result.is_wrong:
        raise Refused("The counts do not add up: this is a bug in Rollcall, please report it.")


@contextmanager
def _everything_up(home: Path) -> Iterator[None]:
    """`rollcall up`, with its output in a file, until the block ends."""
    log = home / "demo.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "workers.cli", "up"],
            env={**os.environ, "ROLLCALL_HOME": str(home)},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _until_ready(process, log)
        yield
    finally:
        process.terminate()
        process.wait()


def _until_ready(process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    pause = threading.Event()
    while "ready: " not in log.read_text(errors="replace"):
        if process.poll() is not None or time.monotonic() > deadline:
            raise Refused(f"The processes did not start; {log} says why.")
        pause.wait(LOOK_SECONDS)


def _until_done(runtime: Runtime, client: redis.Redis, progress: Progress) -> None:
    deadline = time.monotonic() + DONE_SECONDS
    pause = threading.Event()
    bar = progress.add_task("the main job", total=None)
    while (standing := system_state(runtime, client)).left:
        if time.monotonic() > deadline:
            raise Refused(f"The main job did not end within {DONE_SECONDS} s; {runtime.home}/demo.log says why.")
        progress.update(bar, description=f"{standing.left_in_words} to go")
        pause.wait(LOOK_SECONDS)


def events_known(runtime: Runtime) -> int:
    """How many events were ever stored."""
    with transaction(runtime.engine) as connection:
        return events.stored(connection)


def _is_alone(runtime: Runtime, before: int, stored: int) -> bool:
    """Whether nothing was done here but by this run: it found no events, only its own came, and nobody worked."""
    with asked(runtime, sample.ORGANISATION) as (connection, org):
        entry = audit.place_after(connection, org.organisation, (datetime.min.replace(tzinfo=UTC), 0), 1)
    return before == 0 and stored == len({*SAMPLE.read_bytes().splitlines()}) and entry is None


def account(runtime: Runtime, client: redis.Redis, published: int, stored: int) -> list[Chapter]:
    """What the tables and the outgoing stream say happened to the sample organisation."""
    with asked(runtime, sample.ORGANISATION) as (connection, org):
        number = org.organisation
        heads = reports.headcounts(connection, number)
        courses = {course.course: course for course in reports.course_counts(connection, number)}
        course = courses[sample.COURSE]
        written = Counter(events.written(connection, number))
        mails = reports.mail_counts(connection, number)
        counts = {kind: _by_state(mails, kind) for kind in mail.Kind}
        announcement = announcements.find(connection, number, sample.ANNOUNCEMENT)
        if announcement is None:
            raise Refused("The sample's announcement was not taken.")
        sent = announcements.progress(
            sample.ANNOUNCEMENT, announcement.state, mail.tally(connection, number, announcement.mailing)
        )
        balance = seats.balance(connection, org)
        back = {id_: _access_of(connection, number, id_) for id_ in (sample.REACTIVATED, sample.LATECOMER)}
    with transaction(runtime.engine) as connection:
        held = Counter(entry.reason for entry in events.quarantined(connection, None))
    out_by_type = _published(client)
    learners_known = heads.get("active", 0) + heads.get("inactive", 0)
    notices = counts[mail.Kind.ENROLMENT]
    return [
        Chapter(
            "Events",
            f"{counted(published, 'event was', 'events were')} put on the stream; what was known"
            " already changed nothing.",
            [Sum("events read", published, {"new": stored, "known or repeated": published - stored})],
        ),
        Chapter(
            "A course for everyone",
            f"“{course.title}” enrolled all, the inactive silently; {sample.LATECOMER}, who came later, too"
            f" ({back[sample.LATECOMER]}).",
            [
                Sum("learners", learners_known, {s: heads.get(s, 0) for s in ("active", "inactive")}),
                Sum("enrolments", learners_known, {"with notice": course.enrolled, "silent": course.silent}),
                Sum("have access now", course.access, {"active and enrolled": heads.get("active", 0)}),
            ],
        ),
        Chapter(
            "Notices",
            "Each active learner with an address got one mail; nobody inactive did.",
            [Sum("notices", course.enrolled, notices)],
        ),
        Chapter(
            "Coming back",
            f"{sample.REACTIVATED} was made active and has access ({back[sample.REACTIVATED]}), with no old notice;"
            f" {sample.REACTIVATED_BY_USERNAME} signs in by username: the password is void and the admins were told.",
            [
                _all_out("rollcall.access.activated", written, out_by_type),
                _all_out("rollcall.learner.password_void", written, out_by_type),
                Sum(
                    "mails to admins",
                    len(org.admin_emails) * written["rollcall.learner.password_void"],
                    counts[mail.Kind.PASSWORD],
                ),
            ],
        ),
        Chapter(
            "An announcement",
            f"“{sample.ANNOUNCEMENT}” went to the active alone, each by their own name; it is {sent.state}.",
            [
                Sum(
                    "selected",
                    sent.selected,
                    {
                        "accepted": sent.accepted,
                        **{f"skipped: {reason}": n for reason, n in sent.skipped.items()},
                        "failed": sent.failed,
                        "uncertain": sent.uncertain,
                    },
                )
            ],
        ),
        Chapter(
            "Credits",
            f"Credits used: {balance.used} of {org.pool}; a start that was repeated cost nothing more.",
            [
                Sum(
                    "entries in the ledger", balance.entries, {"first starts": sum(c.started for c in courses.values())}
                ),
                _all_out("rollcall.seat.consumed", written, out_by_type),
            ],
        ),
        Chapter(
            "Not taken",
            "Each is kept with its reason, and none held up those behind it: rollcall events quarantined.",
            [Sum("events waiting or quarantined", sum(held.values()), dict(held))],
        ),
    ]


def _all_out(type_: str, written: Counter[str], published: Counter[str]) -> Sum:
    return Sum(f"{type_} on the stream", published[type_], {"written with what they announce": written[type_]})


def _access_of(connection: Any, organisation: int, id_: str) -> str:
    profile = learners.profile(connection, organisation, id_)
    if profile is None:
        return "not known"
    open_to = [e.course for e in enrolments.enrolments_of(connection, organisation, profile.learner) if e.access]
    return f"access to {', '.join(open_to) or 'nothing'}"


def _by_state(counts: list[reports.MailCount], kind: mail.Kind) -> dict[str, int]:
    found: Counter[str] = Counter()
    for count in counts:
        if count.kind == kind:
            found[f"skipped: {count.reason}" if count.state == "skipped" else count.state] += count.n
    return dict(found)


def _published(client: redis.Redis) -> Counter[str]:
    entries: Any = client.xrange(OUT)
    documents = (json.loads(fields[b"event"]) for _, fields in entries)
    return Counter(d["type"] for d in documents if d["organisation"] == sample.ORGANISATION)


def _sign_in_link(runtime: Runtime) -> str | None:
    """A link that lets the person at this machine in; None where the database is not embedded."""
    settings = runtime.settings
    public_url = settings.public_url or services.kept_public_url(runtime.home)
    if settings.database_url is not None or not public_url:
        return None
    endpoints = replace(runtime.endpoints, public_url=public_url)
    return link_for_this_machine(replace(runtime, endpoints=endpoints), who(None)) + TO_CONSOLE


def _print_account(result: DemoResult, home: Path, link: str | None, *, runs: bool = False) -> None:
    """Tell the story, and what to try next. `runs`: every process runs, and will when this is read."""
    out.print()
    out.print("[bold]What happened at Aurora Learning[/]")
    out.print()
    for number, chapter in enumerate(result.chapters, 1):
        out.print(f"[bold]{number}. {chapter.title}[/]")
        out.print(f"   {chapter.story}", markup=False)
        for part in chapter.sums:
            parts = " + ".join(f"{n} {name}" for name, n in part.parts.items()) or "0"
            mark = "✓" if part.adds_up else "✗" if result.alone else "≠"
            out.print(f"   {mark} {part.total} {part.what} = {parts}", markup=False)
        out.print()
    prefix = "" if "ROLLCALL_HOME" not in os.environ else f"ROLLCALL_HOME={home} "
    rollcall = f"{prefix}{sys.argv[0]}"
    if not result.adds_up and not result.alone:
        out.print("Other work was done here besides this run. It is in these counts, so those with ≠ need not add up.")
        out.print(f"To see the demo alone: ROLLCALL_HOME={home}/alone {sys.argv[0]} demo", markup=False)
        out.print()
    out.print("[bold]Where things are, and what to try next[/]")
    for line in (
        f"the mails          {home}/Maildir/new, one file each",
        f"a learner          {rollcall} learners show {sample.REACTIVATED} --organisation {sample.ORGANISATION}",
        f"what was not taken {rollcall} events quarantined",
        f"the ledger         {rollcall} seats ledger --organisation {sample.ORGANISATION}",
        f"how all goes on    {rollcall} status --watch, in another terminal",
    ):
        out.print(f"   {line}", markup=False)
    steps = [] if runs else [f"start every process, and let it run: {rollcall} up"]
    if link:
        steps.append(f"open this link, {GOOD_ONCE}: {link}")
        out.print()
        out.print("[bold]To open the console[/]")
    for number, step in enumerate(steps, 1):
        out.print(f"   {number}. {step}" if link and not runs else f"   {step}", markup=False)
