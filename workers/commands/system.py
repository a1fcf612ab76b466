"""`rollcall up`, `migrate`, `status`, `wait`: the deployment as a whole."""

import asyncio
import os
import shlex
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

import migrations
from config import services
from config.database import transaction
from config.engine import make_engine
from config.errors import UserError
from config.log import as_json, configure_logging
from config.runtime import Endpoints, Runtime
from config.services import write_services
from config.settings import Settings, is_here, load_settings
from config.streams import make_redis
from config.words import counted
from tasks.mail import IT_WAS_RESTORED, Witness, asks_after_restore
from tasks.system import SystemState, system_state
from workers import readiness
from workers.commands.common import (
    Json,
    Refused,
    check_schema,
    document,
    err,
    opened,
    out,
    refuse_remote,
    say,
    who,
)
from workers.console import visible

if TYPE_CHECKING:
    from workers.supervisor import ProcessKind

#: Seconds between two looks of `wait`.
LOOK_SECONDS = 0.1

#: Seconds that `wait` has, after its timeout, to see what is left.
LAST_LOOK_SECONDS = 4.0

#: Seconds between two looks of `up` at the embedded servers.
SERVERS_SECONDS = 1.0

READ_STATUS = services.DATABASE | services.REDIS


@dataclass(frozen=True, slots=True)
class Migrated:
    """Which schema the database was at, and is at now; `restored`: it was restored from a backup, and nobody has
    decided yet what is to become of its mail."""

    before: str | None
    after: str | None
    restored: bool = False


@dataclass(frozen=True, slots=True)
class Waited:
    """Whether everything came to rest, and what was left otherwise."""

    at_rest: bool
    left: dict[str, int]


def migrate(json_: Json = False) -> None:
    """Bring the database's schema up to date."""
    refuse_remote()
    settings = load_settings()
    configure_logging(settings.rollcall_log, settings.rollcall_log_level)
    need = services.DATABASE | services.embedded_redis(settings)
    with services.runtime(settings, "migrate", need=need, make=True) as runtime:
        before, after = migrations.bring_up_to_date(runtime.engine, lambda what: err.print(f"Migration {what}."))
        check_schema(runtime)
        with transaction(runtime.engine) as connection:
            asks = asks_after_restore(connection, Witness(runtime.endpoints.redis_url, runtime.home))
    was = "as it was" if before == after else f"it was {before or 'empty'}"
    ahead = f", ahead of this Rollcall, which knows {migrations.head()}" if str(after) > migrations.head() else ""
    say(Migrated(before, after, asks), f"The schema is at {after}{ahead}; {was}.", json_=json_)
    if asks:
        err.print(f"{IT_WAS_RESTORED}: rollcall restored.", style="bold red")


def up(
    scale: Annotated[
        list[str] | None,
        typer.Option(
            "--scale", metavar="NAME=N", help="Run N of a process; may be repeated. Of bulk: one for each core."
        ),
    ] = None,
    procfile: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Which processes to run, in place of Rollcall's own Procfile. A Procfile in the working folder may be"
            " another program's, and is used only if it is named here.",
        ),
    ] = None,
) -> None:
    """Run every process of the Procfile on this machine until Ctrl-C; SIGTERM drains."""
    from config.embedded import the_one_up

    settings = load_settings()
    configure_logging(settings.rollcall_log, settings.rollcall_log_level)
    roles = _roles(procfile, scale or [])
    home = settings.rollcall_home.absolute()
    with services.endpoints(settings, make=True) as (found, pids), the_one_up(home):
        with (
            opened("rollcall", READ_STATUS, process=True) as runtime,
            make_redis(runtime.endpoints.redis_url) as client,
        ):
            client.ping()  # what cannot be reached now is said once, here, and not by each process for ever
        raise typer.Exit(asyncio.run(_supervise(settings, found, pids, roles)))


def _roles(procfile: Path | None, scale: list[str]) -> list["ProcessKind"]:
    from workers.supervisor import PROCFILE, read_procfile

    here = Path("Procfile")
    if procfile is None and here.is_file() and not here.samefile(PROCFILE):
        err.print("The Procfile in this folder is not used; --procfile Procfile uses it.")
    numbers = {}
    for choice in scale:
        name, _, number = choice.partition("=")
        if not number.isdecimal():
            raise typer.BadParameter(f"--scale {choice}: it reads NAME=N, as in bulk=4")
        numbers[name] = int(number)
    try:
        return read_procfile(procfile or PROCFILE, numbers)
    except ValueError as problem:
        raise typer.BadParameter(str(problem)) from None


def _has_several_webs(roles: list["ProcessKind"]) -> bool:
    return any(role.count > 1 for role in roles if shlex.split(role.command)[:3] == ["rollcall", "run", "web"])


async def _supervise(
    settings: Settings,
    found: Endpoints,
    embedded: dict[str, int],
    roles: list["ProcessKind"],
) -> int:
    from workers.supervisor import Supervisor

    home = settings.rollcall_home.absolute()
    port = settings.rollcall_web_port or _free_port(settings, found.public_url)
    if settings.public_url is None:
        found = replace(found, public_url=f"http://{_reached_at(settings.rollcall_web_host)}:{port}")
        with suppress(OSError):  # the next time links may lead elsewhere
            services.keep_public_url(home, found.public_url)
    bounces_port, bounces_url = _bounces_at(settings)
    metrics_port, metrics_url = _metrics_at(settings)
    env = {
        **{name: said for name, said in os.environ.items() if name not in readiness.OF_SYSTEMD},
        "ROLLCALL_WEB_PORT": str(port),
        "ROLLCALL_METRICS_PORT": str(metrics_port),
        "ROLLCALL_WEB_SHARED": str(settings.rollcall_web_shared or _has_several_webs(roles)),
        "ROLLCALL_BOUNCES_PORT": str(bounces_port),
        "ROLLCALL_HOME": str(home),
        "PUBLIC_URL": found.public_url,
    }

    running: dict[str, int] = {}
    on_line = _print_json(lambda: running) if settings.rollcall_log == "json" else _print_line
    say_once = _once(on_line)

    def remember(pids: dict[str, int]) -> None:
        nonlocal running
        running = pids
        try:
            write_services(home, found, bounces_url, metrics_url, {"rollcall": os.getpid(), **embedded, **running})
            say_once("services", "")
        except OSError as problem:  # a convenience; what runs, runs on
            say_once("services", f"{home}/services.json cannot be written: {problem.strerror}")

    async def keep_servers() -> None:
        from config.embedded import revived

        while embedded:
            await asyncio.sleep(SERVERS_SECONDS)
            try:
                now = await asyncio.to_thread(revived, home, list(embedded), durable=settings.rollcall_durable)
            except (UserError, OSError, ValueError) as problem:
                say_once("servers", f"the embedded servers cannot be looked after: {problem}")
                continue
            say_once("servers", "")
            if died := [name for name, pid in embedded.items() if now[name] != pid]:
                on_line("rollcall", f"{', '.join(died)} had died and was started again")
                embedded.update(now)
                remember(running)

    async def ready(pids: dict[str, int]) -> None:
        remember(pids)
        readiness.report()
        line = f"ready: {counted(len(pids), 'process', 'processes')}, pages at {found.public_url}, state in {home}"
        await _say_ready(line, settings, found, roles, on_line)

    supervisor = Supervisor(roles, env, on_line, on_change=remember, drain_seconds=settings.rollcall_drain_seconds)
    keeper = asyncio.create_task(keep_servers())
    try:
        return await supervisor.run(ready)
    finally:
        keeper.cancel()
        services.forget_services(home)


async def _say_ready(
    line: str,
    settings: Settings,
    found: Endpoints,
    roles: list["ProcessKind"],
    on_line: Callable[[str, str], None],
) -> None:
    """Say that everything runs, and let the person at this machine in, where the database is embedded and a person
    reads what is said."""
    on_line("rollcall", line)
    if settings.database_url is not None or settings.rollcall_log != "console":
        return
    if "web" not in {role.name for role in roles}:
        return
    from tasks.acts.signing_in import GOOD_ONCE

    link = await asyncio.to_thread(_sign_in_link, settings, found)
    if link is not None:
        on_line("rollcall", f"sign in at this machine, {GOOD_ONCE}: {link}")


def _sign_in_link(settings: Settings, found: Endpoints) -> str | None:
    """A link that lets the person at this machine in, or None if the pages would be reached openly."""
    from tasks.acts.signing_in import link_for_this_machine

    engine = make_engine(found.database_url, role="rollcall")
    try:
        return link_for_this_machine(Runtime(settings, found, engine), who(None))
    except UserError:
        return None
    finally:
        engine.dispose()


def _once(on_line: Callable[[str, str], None]) -> Callable[[str, str], None]:
    """Says what goes wrong again and again when it begins; no line means that it has ended."""
    said: dict[str, str] = {}

    def say(about: str, line: str) -> None:
        if line and said.get(about) != line:
            on_line("rollcall", line)
        said[about] = line

    return say


def _bounces_at(settings: Settings) -> tuple[int, str]:
    host = settings.rollcall_bounces_host
    port = settings.rollcall_bounces_port or _unused_port(host, 0, "ROLLCALL_BOUNCES_HOST")
    return port, f"{settings.rollcall_bounces_protocol}://{_in_url(host)}:{port}"


def _metrics_at(settings: Settings) -> tuple[int, str]:
    host = settings.rollcall_metrics_host
    port = settings.rollcall_metrics_port or _unused_port(host, 0, "ROLLCALL_METRICS_HOST")
    return port, f"http://{_reached_at(host)}:{port}/metrics"


def _free_port(settings: Settings, public_url: str) -> int:
    """The port of the links in mails, if they lead to this machine and nobody else has it; or one that is free."""
    links = urlsplit(public_url)
    ours = settings.public_url is None or is_here(links.hostname)
    return _unused_port(settings.rollcall_web_host, (ours and links.port) or 0, "ROLLCALL_WEB_HOST")


def _unused_port(host: str, wanted: int, setting: str) -> int:
    """The wanted port of this host, named by a setting, where nobody has it; or one that is free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in (wanted, 0):
        with suppress(OSError), socket.create_server((host, port), family=family) as server:
            return int(server.getsockname()[1])
    raise Refused(f"No port is free at {host}: look at {setting}.")


def _reached_at(host: str) -> str:
    """How a link on this machine names the host that the pages are served at."""
    if host in {"", "0.0.0.0", "::"}:  # noqa: S104 - compared, not listened at
        return "127.0.0.1"
    return _in_url(host)


def _in_url(host: str) -> str:
    """A host or its address as it stands in a URL (RFC 3986, 3.2.2)."""
    return f"[{host}]" if ":" in host else host


def _print_line(name: str, line: str) -> None:
    text = visible(f"{name:<10} {line}") + "\n"
    with suppress(OSError):  # a full disk, or nobody who reads: what runs, runs on
        os.write(sys.stdout.fileno(), text.encode(sys.stdout.encoding, errors="replace"))


def _print_json(pids: Callable[[], dict[str, int]]) -> Callable[[str, str], None]:
    """What prints each line of a process as JSON."""

    def print_line(name: str, line: str) -> None:
        sys.stdout.write(as_json(line, name, pids().get(name, os.getpid())) + "\n")
        sys.stdout.flush()

    return print_line


def wait(
    timeout: Annotated[float, typer.Option(min=0, metavar="S", help="Seconds of patience.")] = 60,
    json_: Json = False,
) -> None:
    """Wait until nothing is due, in flight, unpublished or unread; exit 1 at the timeout."""
    deadline = time.monotonic() + timeout

    def give_up(*_: object) -> None:
        raise Refused(f"Not known to be at rest after {timeout:g} s: what would tell does not answer.")

    signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, timeout + LAST_LOOK_SECONDS)
    try:
        standing = _rested(deadline)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    if json_:
        document(Waited(standing.at_rest, standing.left))
    if not standing.at_rest:
        raise Refused(f"Not at rest after {timeout:g} s: {standing.left_in_words} left.")
    if not json_:
        out.print("At rest.")


def _rested(deadline: float) -> SystemState:
    """How everything stands once it is at rest, or at the deadline."""
    with opened("wait", READ_STATUS) as runtime:
        client = make_redis(runtime.endpoints.redis_url)
        pause = threading.Event()
        with err.status("waiting …") as spinner:
            standing = system_state(runtime, client)
            while not standing.at_rest and time.monotonic() < deadline:
                spinner.update(f"{standing.left_in_words} left")
                pause.wait(LOOK_SECONDS)
                standing = system_state(runtime, client)
    return standing
