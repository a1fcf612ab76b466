"""The servers of one process: those the environment names, and embedded ones for the rest."""

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

from config.database import make_engine
from config.embedded import embedded_services
from config.runtime import Endpoints, Runtime
from config.settings import Settings

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


@contextmanager
def runtime(settings: Settings, role: str, *, need: frozenset[str] = EVERYTHING) -> Iterator[Runtime]:
    """Everything a process works with; embedded servers live as long as somebody uses them."""
    with endpoints(settings, need) as (found, _):
        engine = make_engine(found.database_url, role=role)
        try:
            yield Runtime(settings, found, engine)
        finally:
            engine.dispose()


@contextmanager
def endpoints(settings: Settings, need: frozenset[str] = EVERYTHING) -> Iterator[tuple[Endpoints, dict[str, int]]]:
    """The servers in use, and the process ids of the embedded ones; of these, just those needed are started."""
    home = settings.rollcall_home.absolute()
    named = (settings.database_url, settings.redis_url, settings.smtp_url)
    with embedded_services(
        home,
        database=named[0] is None and "database" in need,
        redis=named[1] is None and "redis" in need,
        smtp=named[2] is None and "smtp" in need,
        durable=settings.rollcall_durable,
    ) as embedded:
        database, redis_, smtp = (url.get_secret_value() if url is not None else None for url in named)
        identity = _identity(settings, home)
        yield (
            Endpoints(
                database_url=database or embedded.database_url or UNUSED,
                redis_url=redis_ or embedded.redis_url or "",
                smtp_url=smtp or embedded.smtp_url or "",
                mail_from=identity["mail_from"],
                public_url=identity["public_url"],
                secret_key=identity["secret_key"],
                bounce_address=identity["bounce_address"],
            ),
            embedded.pids,
        )


def _identity(settings: Settings, home: Path) -> dict[str, str]:
    """Sender, base of links and key: as set, or made up once and kept, where mail does not leave this machine."""
    kept_in = home / "identity.json"
    if settings.smtp_url is None and not kept_in.exists():
        made_up = {"mail_from": LOCAL_SENDER, "public_url": "", "secret_key": secrets.token_urlsafe(32)}
        write_private(kept_in, json.dumps(made_up))
    kept: dict[str, str] = json.loads(kept_in.read_text()) if kept_in.exists() else {}
    key = settings.secret_key
    return {
        "mail_from": settings.mail_from or kept.get("mail_from", LOCAL_SENDER),
        "public_url": settings.public_url or kept.get("public_url", ""),
        "secret_key": key.get_secret_value() if key is not None else kept.get("secret_key", ""),
        "bounce_address": settings.bounce_address or ("" if settings.smtp_url is not None else LOCAL_BOUNCES),
    }


def keep_public_url(home: Path, url: str) -> None:
    """Remember the base of links that was made up: processes that make mails look here, and the links in mails sent
    before lead somewhere the next time, too."""
    kept_in = home / "identity.json"
    write_private(kept_in, json.dumps({**json.loads(kept_in.read_text()), "public_url": url}))


def write_private(path: Path, content: str) -> None:
    """Write a file that only we can read, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(content)
    unfinished.replace(path)


def write_services(home: Path, found: Endpoints, bounces_url: str, pids: dict[str, int]) -> None:
    """Tell the outside which URLs are in use and which processes run: `services.json`, passwords left out."""
    urls = {
        name.upper(): without_password(url)
        for name, url in asdict(found).items()
        if name in {"database_url", "redis_url", "smtp_url", "public_url"}
    }
    write_private(
        home / "services.json", json.dumps({**urls, "BOUNCES_URL": bounces_url, "pids": pids}, indent=2) + "\n"
    )


def without_password(url: str) -> str:
    """A URL as it may be shown."""
    parts = urlsplit(url)
    shown = [(name, "***" if "password" in name else value) for name, value in parse_qsl(parts.query)]
    host = parts.netloc.rpartition("@")[2]
    netloc = parts.netloc if parts.password is None else f"{parts.username or ''}:***@{host}"
    query = urlencode(shown, safe="/*")
    return f"{parts.scheme}://{netloc}{parts.path}{query and '?'}{query}"  # urlunsplit takes the // from unix:///
