"""The console script: `rollcall`."""

import sys

import psycopg
import redis
import typer
from sqlalchemy.exc import OperationalError, ProgrammingError

from config.database import QUERY_CANCELED
from config.embedded import EmbeddedError
from config.settings import ConfigurationError
from migrations import RoleRefused
from tasks.announcements import NotAllowed
from tasks.intake import NotResolved
from workers.commands import (
    announcements,
    demo,
    events,
    learners,
    mail,
    reconcile,
    replays,
    reports,
    run,
    seats,
    suppressions,
    system,
    templates,
    webhooks,
    work,
)
from workers.commands.common import Refused

app = typer.Typer(
    help="Rollcall does the work that follows when something happens on a learning platform: enrolments, mail, seats"
    " and credits, for millions of learners. Every command that prints a result takes --json.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(system.up)
app.command()(system.migrate)
app.command()(demo.demo)
app.command()(system.status)
app.command()(system.wait)
app.command()(reconcile.reconcile)
events.app.command()(replays.replay)
app.add_typer(events.app, name="events")
app.add_typer(learners.app, name="learners")
app.add_typer(announcements.app, name="announcements")
app.add_typer(templates.app, name="templates")
app.add_typer(mail.app, name="mail")
app.add_typer(seats.app, name="seats")
app.add_typer(suppressions.app, name="suppressions")
app.add_typer(reports.app, name="reports")
app.add_typer(webhooks.app, name="webhooks")
app.add_typer(work.app, name="work")
app.add_typer(run.app, name="run")


def main() -> None:
    """Run a command; what a user can do something about ends in one line on stderr and exit code 1."""
    try:
        app()
    except (Refused, ConfigurationError, EmbeddedError, NotAllowed, NotResolved, RoleRefused) as problem:
        _give_up(str(problem))
    except (OperationalError, psycopg.OperationalError) as problem:
        if getattr(getattr(problem, "orig", problem), "sqlstate", None) == QUERY_CANCELED:
            _give_up("The database gave up on it: it took longer than the server's statement_timeout allows.")
        _give_up("The database cannot be reached or does not let us in: look at DATABASE_URL and at its server.")
    except ProgrammingError:
        _give_up("The database's schema is not the one this code needs: run rollcall migrate.")
    except redis.RedisError as problem:
        _give_up(f"Redis cannot be used ({type(problem).__name__}): look at REDIS_URL and at its server.")


def _give_up(why: str) -> None:
    sys.stderr.write(why + "\n")
    raise SystemExit(1)


if __name__ == "__main__":
    main()
