"""The servers of one process: those the environment names, and embedded ones for the rest."""

import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from urllib.parse import unquote

import structlog

from config.cells import Cells, read_cells
from config.engine import make_engine
from config.errors import ConfigurationError, UserError
from config.runtime import Endpoints, Runtime
from config.settings import SERVERS, Settings, SmtpServer, is_here

log = structlog.get_logger()

#: Who sends where nobody said so: mail stays on this machine then.
LOCAL_SENDER = "Rollcall <rollcall@localhost>"

#: Where reports come back to where nobody said so and mail stays on this machine.
LOCAL_BOUNCES = "bounces@localhost"

#: Stands for a database that a process does not need; an engine for it connects to nothing until it is asked to.
UNUSED = "postgresql://unused.invalid/"

#: What a process may need.
DATABASE = frozenset({"database"})
REDIS = frozenset({"redis"})
EVERYTHING = frozenset({"database", "redis", "smtp"})


#: What each server is called by its setting, and what is under the home once it was embedded there.
_TRACES = {"database": "postgresql", "redis": "valkey", "smtp": "Maildir"}

#: Seconds by which the system's time of a process, and of a file, may differ.
CLOCK_SECONDS = 1.0


@contextmanager
def runtime(
    settings: Settings, role: str, *, need: frozenset[str] = EVERYTHING, make: bool = False
) -> Iterator[Runtime]:
    """Everything a process works with; embedded servers live as long as somebody uses them."""
    with endpoints(settings, need, make=make) as (found, _):
        engine = make_engine(found.database_url, role=role, pooler=found.pooler_url)
        cells = None if settings.rollcall_cells is None else _cells(settings.rollcall_cells.get_secret_value(), role)
        try:
            yield Runtime(settings, found, engine, cells=cells)
        finally:
            engine.dispose()
            if cells is not None:
                cells.close()


def _cells(text: str, role: str) -> Cells:
    return Cells(read_cells(text), lambda url: make_engine(url, role=role))


@contextmanager
def endpoints(
    settings: Settings, need: frozenset[str] = EVERYTHING, *, make: bool = False
) -> Iterator[tuple[Endpoints, dict[str, int]]]:
    """The servers in use, and the process ids of the embedded ones; of these, just those needed are started.

    Raises ConfigurationError where one would have to be embedded that may not be, or, unless they are to be made, where
    none ever was under this home.
    """
    home = settings.rollcall_home.absolute()
    named = {name: getattr(settings, f"{name}_url") for name in SERVERS}
    wanted = [name for name in SERVERS if name in need and named[name] is None]
    if wanted:
        _refuse_mixture(settings, home, wanted)
    if wanted and not make and not any((home / trace).exists() for trace in _TRACES.values()):
        raise ConfigurationError(
            f"There is nothing of Rollcall under {home}: start it there with rollcall up, or set ROLLCALL_HOME or"
            f" {' and '.join(f'{name.upper()}_URL' for name in wanted)} to where it is."
        )
    with _embedded(settings, home, wanted) as (embedded, pids):
        database, redis_, smtp = (None if url is None else url.get_secret_value() for url in named.values())
        pooler = settings.database_pooler_url
        yield (
            Endpoints(
                database_url=database or embedded.get("database") or UNUSED,
                redis_url=redis_ or embedded.get("redis") or "",
                smtp_url=smtp or embedded.get("smtp") or "",
                pooler_url="" if pooler is None else pooler.get_secret_value(),
                **_identity(settings, home),
            ),
            pids,
        )


def embedded_redis(settings: Settings) -> frozenset[str]:
    """Redis, if one was embedded here and can be started: for what does without, but asks it whether the database was
    restored."""
    home = settings.rollcall_home.absolute()
    if settings.redis_url is not None or not (home / _TRACES["redis"]).exists():
        return frozenset()
    try:
        if "redis" in _may_be_embedded(settings, home)[1]:
            with endpoints(settings, REDIS):
                return REDIS
    except UserError as problem:
        log.warning("redis.not_asked", why=str(problem))
    return frozenset()


@contextmanager
def _embedded(
    settings: Settings, home: Path, wanted: list[str]
) -> Iterator[tuple[dict[str, str | None], dict[str, int]]]:
    """The URLs of these servers, embedded, and their process ids; what starts them is imported where there are any."""
    if not wanted:
        yield {}, {}
        return
    from config.embedded import embedded_services

    wishes = {name: name in wanted for name in SERVERS}
    with embedded_services(home, **wishes, durable=settings.rollcall_durable) as found:
        yield {name: getattr(found, f"{name}_url") for name in SERVERS}, found.pids


def _refuse_mixture(settings: Settings, home: Path, wanted: list[str]) -> None:
    """Refuse to embed a server that was forgotten: mail to people would lie in a folder here, as accepted.

    All may be embedded where the environment names none but those that are embedded here already, or only a mail server
    on this machine, as those are that catch a developer's mail; otherwise those that `ROLLCALL_EMBEDDED` names.
    """
    own, allowed = _may_be_embedded(settings, home)
    forgotten = [name for name in wanted if name not in allowed]
    if not forgotten:
        return
    variables = " and ".join(f"{name.upper()}_URL" for name in forgotten)
    why = (
        f"ROLLCALL_EMBEDDED is {settings.rollcall_embedded}"
        if settings.rollcall_embedded
        else f"{own[0].upper()}_URL is"
    )
    choice = ",".join(name for name in SERVERS if name in {*allowed, *forgotten})
    raise ConfigurationError(
        f"{variables} must be set, since {why}; or set ROLLCALL_EMBEDDED={choice} to try it out with what comes with"
        " Rollcall."
    )


def _may_be_embedded(settings: Settings, home: Path) -> tuple[list[str], set[str]]:
    """Which servers are somebody's own, and which may be embedded."""
    from config.embedded import running_urls

    named = {name: getattr(settings, f"{name}_url") for name in SERVERS}
    urls = {name: url.get_secret_value() for name, url in named.items() if url is not None}
    own = [name for name, url in urls.items() if url not in running_urls(home)]
    if settings.rollcall_embedded is not None:
        return own, {*settings.rollcall_embedded.split(",")}
    local_mail = own == ["smtp"] and is_here(SmtpServer.parse(urls["smtp"]).host)
    return own, {*SERVERS} if not own or local_mail else set()


def _identity(settings: Settings, home: Path) -> dict[str, str]:
    """Sender, base of links and key: as set, or made up once and kept, where mail does not leave this machine."""
    kept_in = home / "identity.json"
    if settings.smtp_url is None and not kept_in.exists():
        made_up = {"mail_from": LOCAL_SENDER, "public_url": "", "secret_key": secrets.token_urlsafe(32)}
        try:
            write_private(kept_in, json.dumps(made_up))
        except OSError as problem:
            if settings.secret_key is None:
                raise ConfigurationError(
                    f"{home} cannot be written ({problem.strerror}): set ROLLCALL_HOME elsewhere, or SECRET_KEY."
                ) from None
    kept = _kept_identity(kept_in) if kept_in.exists() else {}
    key = settings.secret_key
    return {
        "mail_from": settings.mail_from or kept.get("mail_from", LOCAL_SENDER),
        "public_url": settings.public_url or kept.get("public_url", ""),
        "secret_key": key.get_secret_value() if key is not None else kept.get("secret_key", ""),
        "bounce_address": settings.bounce_address or ("" if settings.smtp_url is not None else LOCAL_BOUNCES),
    }


def _kept_identity(file: Path) -> dict[str, str]:
    """What was made up before. Raises ConfigurationError where it cannot be read any more."""
    try:
        kept = json.loads(file.read_text())
        if isinstance(kept, dict) and all(isinstance(value, str) for value in kept.values()):
            return kept
    except ValueError:
        pass
    raise ConfigurationError(
        f"{file} is damaged: take it back from a backup, or remove it, and then no link in a mail that was sent works."
    )


def keep_public_url(home: Path, url: str) -> None:
    """Remember the base of links that was made up: processes that make mails look here, and the links in mails sent
    before lead somewhere the next time, too."""
    kept_in = home / "identity.json"
    write_private(kept_in, json.dumps({**_kept_identity(kept_in), "public_url": url}))


def kept_public_url(home: Path) -> str:
    """The base of links that was made up, or nothing."""
    kept_in = home / "identity.json"
    return _kept_identity(kept_in).get("public_url", "") if kept_in.exists() else ""


def write_private(path: Path, content: str) -> None:
    """Write a file that only we can read, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(content)
        unfinished.replace(path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise


def write_services(home: Path, found: Endpoints, bounces_url: str, metrics_url: str, pids: dict[str, int]) -> None:
    """Tell the outside which URLs are in use and which processes run: `services.json`, passwords left out."""
    urls = {
        name.upper(): without_password(url)
        for name, url in asdict(found).items()
        if name in {"database_url", "redis_url", "smtp_url", "public_url"}
    }
    urls |= {"BOUNCES_URL": bounces_url, "METRICS_URL": metrics_url}
    write_private(home / "services.json", json.dumps({**urls, "pids": pids}, indent=2) + "\n")


def forget_services(home: Path) -> None:
    """What this process started runs no more. What another `rollcall up` has written since stays."""
    with suppress(OSError):
        if _written_pids(home).get("rollcall", os.getpid()) == os.getpid():
            (home / "services.json").unlink(missing_ok=True)


def running(home: Path) -> dict[str, int]:
    """What `rollcall up` says runs under this home, for as long as it does."""
    pids = _written_pids(home)
    return {name: pid for name, pid in pids.items() if Path(f"/proc/{pid}").exists() or not Path("/proc").exists()}


def is_up(home: Path) -> bool:
    """Whether `rollcall up` runs under this home. It wrote itself down: a process that began later than that has the
    number of one that was killed."""
    import psutil

    with suppress(psutil.Error, LookupError, OSError, TypeError, ValueError):
        process = psutil.Process(_written_pids(home)["rollcall"])
        return process.create_time() < (home / "services.json").stat().st_mtime + CLOCK_SECONDS
    return False


def _written_pids(home: Path) -> dict[str, int]:
    with suppress(OSError, ValueError, LookupError, TypeError):
        return {**json.loads((home / "services.json").read_text())["pids"]}
    return {}


def without_password(url: str) -> str:
    """A URL as it may be shown."""
    scheme, _, rest = url.partition("://")
    named = re.match(r"([^:/?#]*)(:[^/?]*)?@", rest) or re.match(r"([^:/?#]*)(:[^/]*)?@", rest)
    if named and named[2]:
        rest = f"{named[1]}:***@{rest[named.end() :]}"
    place, mark, query = rest.partition("?")
    shown = [
        (name, "***" if "password" in unquote(name) else value)
        for name, _, value in (one.partition("=") for one in query.split("&"))
    ]
    return f"{scheme}://{place}{mark}" + "&".join(f"{name}={value}" if value else name for name, value in shown)
