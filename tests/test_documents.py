"""What is written about Rollcall is true of it: schemas, settings, states and reasons."""

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from config.counting import COUNTED
from config.settings import table
from config.signed_events import MOST_KEYS
from tasks import fleet
from tasks.accounts import passwords, people, secret, sessions, throttle, totp
from tasks.acts import access, idempotency, learners, paging
from tasks.acts.signing_in import GOOD_ONCE
from tasks.bounces import BounceKind, Ignored
from tasks.enrolments.rules import NotEligible
from tasks.events import Reason
from tasks.events.outgoing import TYPES_OUT
from tasks.events.schemas import TYPES, WHAT_TO_DO
from tasks.imports.rules import Refusal
from tasks.imports.statuses import PreviousStatus
from tasks.learners import Standing
from tasks.mail import Suppressed
from tasks.mail.ledger import control, witness
from tasks.mail.ledger.restored import Settled
from tasks.mail.rules import MOVES, Delivery, MailResult, Verdict
from tasks.seats import Discrepancy
from tasks.seats.rules import Review, Unit
from tasks.verification import Invariant
from tasks.webhooks import Because, Problem, State, client
from tasks.webhooks.server import MOST_OF_ONE
from tasks.work.rules import FUSE_FAILURES, FUSE_ORGANISATIONS
from workers import outline, presence, queues, webhooks
from workers.commands.common import UNASKED
from workers.relay.readers import WatchReaders
from workers.relay.witness import WatchWitness
from workers.schemas import COMMANDS, CONTRACT, FOLDER, all_schemas, commands, commands_page, contract
from workers.web import app, bodies, connections, exporting, signing_in
from workers.web.api import doors, limits, routes
from workers.web.api.doors import Weight

ROOT = Path(__file__).parents[1]

#: What people read first, and every page of `docs`.
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

#: A block between fences, a piece of code within a line, a link, a heading.
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"(?m)^#+ (.+)$")

#: A path from the root of the repository; words in capitals in it stand for any.
PATH = re.compile(r"(?:\.ci|bench|config|docs|email_templates|migrations|samples|tasks|tests|workers)/[\w./-]*")
ANY = re.compile(r"CAPABILITY|NAME")

#: A target of the Makefile that is named, and one that is there.
MAKE = re.compile(r"(?m)(?:^|`)make ([a-z][\w-]*)")
TARGET = re.compile(r"(?m)^([a-z][\w-]*):")

#: A command line, from the name of the command on.
COMMAND_LINE = re.compile(r"(?:^|[\s(|])(?:\.venv/bin/)?rollcall ([\w-].*)")


def test_the_schemas_in_the_repo_are_those_of_the_types() -> None:
    written = {str(path.relative_to(FOLDER)): path.read_text(encoding="utf-8") for path in FOLDER.rglob("*.json")}

    assert written == all_schemas(), "run make schemas"
    assert CONTRACT.read_text(encoding="utf-8") == contract(), "run make schemas"


def test_the_page_of_the_commands_is_that_of_the_commands() -> None:
    assert COMMANDS.read_text(encoding="utf-8") == commands_page(), "run make schemas"


def test_the_documents_list_every_setting_with_its_default() -> None:
    listed = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8").splitlines()

    assert [row for row in listed if row.startswith("| `")] == table()


def test_the_documents_list_every_event_with_what_it_says() -> None:
    listed = (ROOT / "docs" / "events.md").read_text(encoding="utf-8").splitlines()
    both: list[tuple[str, Mapping[str, type]]] = [("cloudevents", TYPES), ("events", TYPES_OUT)]
    rows = [
        f"| [`{name}`](schemas/{folder}/{name}.json) | {' '.join((kind.__doc__ or '').split())} |"
        for folder, kinds in both
        for name, kind in kinds.items()
    ]

    assert [row for row in listed if row.startswith("| [`")] == rows


def test_the_documents_list_every_measurement() -> None:
    listed = (ROOT / "docs" / "measured.md").read_text(encoding="utf-8")
    parts = re.findall(
        r'(?m)^    "(\w+)": ', "".join((ROOT / f"bench/{at}__main__.py").read_text() for at in ("", "mail/"))
    )

    assert {"fanout", "greylisting"} <= set(parts)
    assert [part for part in parts if f"| `{part}` | " not in listed] == []


def test_the_guides_say_which_bounds_the_pages_and_the_webhooks_have() -> None:
    guides = " ".join(" ".join(page.read_text(encoding="utf-8").split()) for page in (ROOT / "docs").rglob("*.md"))
    bounds = [
        f"`web` waits {connections.HEAD_SECONDS:g} seconds for the head of a request",
        f"{connections.REST_SECONDS:g} for the rest of a body that was answered before its end",
        f"{connections.WRITE_SECONDS:g} for a client that does not read",
        f"and {connections.IDLE_SECONDS:g} for the next request",
        f"a head of {connections.LONGEST_HEADERS // 1000} kB and {connections.MOST_HEADERS} headers",
        f"{connections.MOST_CONNECTIONS:,} connections (fewer where the limit of open files is below",
        f"{connections.MOST_CONNECTIONS + connections.OTHER_FILES:,}: all but {connections.OTHER_FILES} of it)",
        f"in chunks of {connections.OCTETS_A_PIECE} bytes or more on the average",
        f"{bodies.MOST} at most, are waited for at once, half of them for one address, and {app.MOST_BODIES} of the",
        f"Up to {MOST_KEYS} keys are accepted at once",
        (
            f"{client.MOST_LINES} lines of headers, in no more than {client.MOST_PIECES} pieces"
            f" and {client.MOST_READS:,} reads"
        ),
        f"a process serves {MOST_OF_ONE} at once, and {webhooks.MOST} of all",
        f"Every {'five' if WatchReaders.seconds == 5 else WatchReaders.seconds} seconds the relay stores",
        f"A list keeps at most {queues.MOST:,} messages",
        f"more than {UNASKED:,} recipients, `launch` asks first",
        f"more than {UNASKED:,} learners are told",
    ]

    assert (connections.SHARE, bodies.SHARE) == (4, 2)
    assert [bound for bound in bounds if bound not in guides] == []


def test_the_page_on_security_says_which_bounds_there_are() -> None:
    pages = [ROOT / "docs" / "security.md", ROOT / "docs" / "guides" / "accounts.md"]
    said = " ".join(" ".join(page.read_text(encoding="utf-8").split()) for page in pages)
    kept = passwords.hash_password("an example of many words")
    bounds = [
        f"has {passwords.LEAST} to {passwords.MOST} characters",
        f"{throttle.MOST_OF_ACCOUNT} of an account and {throttle.MOST_OF_ADDRESS} from an address",
        f"in {throttle.WINDOW_SECONDS // 60} minutes",
        f"In one process {signing_in.AT_ONCE} passwords are hashed at once",
        f"at most {sessions.LONGEST_DAYS} days",
        f"It has {secret.SECRET_LENGTH} letters and digits",
        f"begins with `{secret.PREFIX}`",
        f"good for its own {totp.STEP_SECONDS} seconds",
    ]

    assert [bound for bound in bounds if bound not in said] == []
    assert "m=65536,t=3," in kept, "64 MiB, 3 passes"
    assert passwords.LEAST_DIFFERENT == 5
    assert {one: str(span) for one, span in people.GOOD_FOR.items()} == {
        "password": "1 day, 0:00:00",
        "once": "0:30:00",
    }
    assert GOOD_ONCE in said
    assert GOOD_ONCE == "once, and within half an hour"


def test_the_guide_to_the_api_says_which_bounds_there_are() -> None:
    said = " ".join((ROOT / "docs" / "guides" / "api.md").read_text(encoding="utf-8").split())
    costs = [doors.COSTS[weight] for weight in (Weight.ACCESS, Weight.QUICK, Weight.LIST, Weight.EXPORT)]
    bounds = [
        f"answers for up to {access.MOST_PAIRS:,} pairs",
        f"`limit` is {paging.USUAL} unless you say otherwise, and {paging.MOST:,} at most",
        f"looks at {learners.SCANNED:,} of them, with `search` at {learners.SEARCHED:,} besides",
        f"the body is larger than {routes.LONGEST_BODY // 1_000_000} MB",
        "asking for access counts {}, another act {}, a list {}, an export {}.".format(*costs),
        f"takes {exporting.SECONDS / 60:.0f} minutes at most",
        f"A token has {exporting.OF_ONE} exports under way at once, and an organisation {exporting.OF_ORGANISATION};",
        f"may do so {limits.STRANGERS_AT_ONCE} times, and ten times a second after that",
    ]

    assert [bound for bound in bounds if bound not in said] == []
    assert (1.0, timedelta(days=1)) == (doors.REMEMBERED_SECONDS, idempotency.KEPT), "a second or so, and a day"


@pytest.mark.parametrize(
    "kind",
    [
        Standing,
        Reason,
        Delivery,
        Verdict,
        MailResult,
        NotEligible,
        Review,
        Unit,
        Discrepancy,
        Invariant,
        PreviousStatus,
        Refusal,
        BounceKind,
        Ignored,
        Suppressed,
        State,
        Because,
        Problem,
        Settled,
    ],
)
def test_the_documents_list_every_state_and_reason(kind: type[StrEnum]) -> None:
    listed = (ROOT / "docs" / "states.md").read_text(encoding="utf-8")
    shown_nowhere = {Verdict.SEND, Verdict.PAUSED}

    assert [one for one in kind if one not in shown_nowhere and f"`{one}`" not in listed] == []


def test_the_page_on_watching_says_how_often_and_for_how_long() -> None:
    page = " ".join((ROOT / "docs" / "guides" / "watching.md").read_text(encoding="utf-8").split())
    bounds = [
        "says once a minute that it runs",
        "is shown for two and a half minutes more",
        "has done nothing for two minutes",
        "they store it every ten seconds",
        "If ten tries in a row of one kind of work fail",
        "if it is about three organisations or more",
    ]

    assert (presence.BEAT_SECONDS, fleet.GONE_AFTER.total_seconds(), presence.SILENT_SECONDS) == (60, 150, 120)
    assert (presence.STORE_SECONDS, FUSE_FAILURES, FUSE_ORGANISATIONS) == (10, 10, 3)
    assert [bound for bound in bounds if bound not in page] == []
    assert [name for name in COUNTED if f"| `{name}` | " not in page] == []


def test_the_page_on_restoring_says_for_how_long_what_is_remembered() -> None:
    page = " ".join((ROOT / "docs" / "restoring.md").read_text(encoding="utf-8").split())
    bounds = [
        f"for {witness.KEPT_SECONDS // 86400} days and for the last {witness.MOST_GROUPS:,} groups",
        f"For {control.KNOWN_DAYS} days after",
        f"every {WatchWitness.seconds:g} seconds",
    ]

    assert [bound for bound in bounds if bound not in page] == []


def test_the_documents_say_what_to_do_about_each_event_that_was_not_taken() -> None:
    listed = (ROOT / "docs" / "states.md").read_text(encoding="utf-8")

    assert WHAT_TO_DO.keys() == set(Reason)
    assert [
        one for one, what in WHAT_TO_DO.items() if not re.search(rf"(?m)^\| `{one}` \| .* \| {what} \|$", listed)
    ] == []


def test_the_documents_list_every_state_of_a_mailing() -> None:
    listed = (ROOT / "docs" / "states.md").read_text(encoding="utf-8")
    states = {state for moves in MOVES.values() for pair in moves.items() for state in pair}

    assert [state for state in sorted(states) if f"`{state}`" not in listed] == []


def test_the_documents_list_every_move_of_a_mailing() -> None:
    listed = (ROOT / "docs" / "states.md").read_text(encoding="utf-8").splitlines()
    rows = [
        f"| `{move}` | {', '.join(f'`{before}`' for before, after in pairs.items() if after == state)} | `{state}` |"
        for move, pairs in MOVES.items()
        for state in set(pairs.values())
    ]

    assert [row for row in rows if row not in listed] == []


def test_the_readme_can_be_read_in_a_few_minutes() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 1000


def test_the_readme_counts_the_events_of_the_sample() -> None:
    events = len((ROOT / "samples" / "demo.jsonl").read_text(encoding="utf-8").splitlines())

    assert f"the {events:,} events" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_index_lists_every_page() -> None:
    index = ROOT / "docs" / "README.md"
    listed = {(index.parent / link.partition("#")[0]).resolve() for link in LINK.findall(index.read_text())}

    assert set((ROOT / "docs").rglob("*.md")) - listed - {index} == set()


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in HEADING.findall(text)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_in_the_documents_leads_somewhere(page: Path) -> None:
    astray = []
    for link in LINK.findall(CODE.sub("", FENCE.sub("", page.read_text(encoding="utf-8")))):
        if link.startswith(("https://", "http://", "mailto:")):
            continue
        file, _, anchor = unquote(link).partition("#")
        there = page.parent / file if file else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            astray.append(link)

    assert astray == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_path_and_test_in_a_sentence_and_every_target_of_make_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = CODE.findall(FENCE.sub("", text))
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))

    assert [path for path in named if PATH.fullmatch(path) and not [*ROOT.glob(ANY.sub("*", path))]] == []
    tests = [] if page.name == "rules.md" else [name for name in named if re.fullmatch(r"test_\w+", name)]  # a pattern
    assert [name for name in tests if f"def {name}" not in sources] == []
    assert {*MAKE.findall(text)} - {*TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8"))} == set()


def test_every_name_in_the_table_of_what_to_change_is_defined_there() -> None:
    """A view or function of the database: in the newest migration that makes it."""
    rows = re.findall(r"(?m)^\| [^`|]+ \| `([\w/]+\.py)` \| `(\w+)` \|$", (ROOT / "CONTRIBUTING.md").read_text("utf-8"))
    migrations = sorted((ROOT / "migrations" / "versions").glob("*.py"))

    assert len(rows) > 15
    for file, name in rows:
        made = rf"(?m)^CREATE (?:OR REPLACE )?(?:VIEW|FUNCTION) {name}\b"
        if file.startswith("migrations/"):
            makers = [path for path in migrations if re.search(made, path.read_text("utf-8"))]
            assert makers[-1:] == [ROOT / file], name
        else:
            assert re.search(rf"(?m)^ *(?:def |class )?{name}\b *[:=(]", (ROOT / file).read_text("utf-8")), (file, name)


def test_the_page_of_what_is_measured_names_every_test_of_chaos_and_what_shortens_it() -> None:
    page = (ROOT / "docs" / "measured.md").read_text("utf-8")
    chaos = list((ROOT / "tests" / "chaos").glob("*.py"))

    assert [path.name for path in chaos if path.name.startswith("test_") and f"`{path.name}`" not in page] == []
    read = {name for path in chaos for name in re.findall(r"CHAOS_[A-Z_]+", path.read_text("utf-8"))}
    assert {*re.findall(r"`(CHAOS_[A-Z_]+)`", page)} == read


def test_every_module_that_a_source_names_exists() -> None:
    folders = [ROOT / name for name in ("bench", "config", "email_templates", "migrations", "tasks", "workers")]
    sources = [path for folder in folders for path in folder.rglob("*.py")]
    known = {path.name for path in sources}
    unknown = [
        (str(path.relative_to(ROOT)), name)
        for path in sources
        for name in re.findall(r"`([\w/]+\.py)`", path.read_text(encoding="utf-8"))
        if not ((ROOT / name).exists() if "/" in name else name in known)
    ]

    assert len(sources) > len(known) > 100
    assert unknown == []


def command_lines(lines: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """Each line that calls `rollcall`, and the words after it."""
    for line in lines:
        if found := COMMAND_LINE.search(line.split(" # ")[0]):
            lexer = shlex.shlex(found[1], posix=True, punctuation_chars=True)
            lexer.whitespace_split = True
            words = list(lexer)
            end = next((at for at, word in enumerate(words) if set(word) <= set("();<>|&")), len(words))
            yield line, words[:end]


def named(words: list[str], known: Mapping[str, Any]) -> str | None:
    """The command that these words begin with: its group and its name, or its name."""
    return next((name for name in (" ".join(words[:2]), " ".join(words[:1])) if name in known), None)


def test_a_command_line_is_found_where_it_stands() -> None:
    lines = ["x | .venv/bin/rollcall seats show -o a --json > file  # not --this", "rollcall = redis.Redis()"]

    assert [words for _, words in command_lines(lines)] == [["seats", "show", "-o", "a", "--json"]]


@cache
def known_commands() -> dict[str, Any]:
    """The commands, by their names."""
    return dict(commands(outline.read()))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_line_in_a_block_can_be_run_as_it_stands(page: Path) -> None:
    known = known_commands()
    blocks = FENCE.findall(page.read_text(encoding="utf-8"))
    refused = []
    for line, words in command_lines(line for block in blocks for line in block.splitlines()):
        name = named(words, known)
        try:
            known[name or ""].make_context(name, words[len((name or "").split()) :])
        except Exception as problem:  # noqa: BLE001 - whatever is wrong with the line
            refused.append((line, repr(problem)))

    assert refused == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_in_a_sentence_exists_with_its_options(page: Path) -> None:
    known = {
        name: {"--help", *(option for one in command.params for option in one.opts + one.secondary_opts)}
        for name, command in known_commands().items()
    } | {"--version": {"--version"}}
    sentences = CODE.findall(FENCE.sub("", page.read_text(encoding="utf-8")))
    unknown = []
    for line, words in command_lines(" ".join(code.split()) for code in sentences):
        options = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        if (name := named(words, known)) is None or options - known[name]:
            unknown.append(line)

    assert unknown == []


def test_the_page_on_security_names_a_test_for_each_attack_and_each_is_there() -> None:
    rows = re.findall(r"^\| (API\d+) .*\| ([^|]*) \|$", (ROOT / "docs" / "security.md").read_text(), re.MULTILINE)
    named = {attack: re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", tests) for attack, tests in rows}

    assert [*named] == [f"API{number}" for number in range(1, 11)]
    assert [attack for attack, tests in named.items() if not tests] == []
    missing = [
        (file, name)
        for tests in named.values()
        for file, name in tests
        if not re.search(rf"^ *def {name}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert missing == []


@pytest.mark.parametrize(
    ("made", "by"),
    [
        ("FUNCTION mail_verdict", "0001_spine.py"),
        ("INDEX one_credit_charge", "0001_spine.py"),
        ("INDEX one_seat_charge", "0001_spine.py"),
        ("VIEW access AS", "0036_one_answer.py"),
    ],
)
def test_the_page_names_the_newest_migration_that_makes_what_decides(made: str, by: str) -> None:
    files = sorted((ROOT / "migrations" / "versions").glob("*.py"))
    newest = [file.name for file in files if made in file.read_text(encoding="utf-8")][-1]

    assert newest == by
    assert f"`migrations/versions/{by}`" in (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
