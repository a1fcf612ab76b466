"""Celery with smtplib on a kept connection and a status row for each mail in PostgreSQL.

As Celery's documentation advises for many short tasks: prefork, results ignored, a prefetch multiplier well above one,
connections opened once in each process. A task for each mail, so that each can be tried again by itself.
`python -m bench.mail.peers.celery_smtplib` is what launches a mailing.
"""

import json
import os
import smtplib
import sys
from email.message import EmailMessage
from email.utils import formataddr, make_msgid
from functools import lru_cache
from pathlib import Path

import celery
import jinja2
import psycopg
from celery.signals import worker_ready
from psycopg.rows import dict_row

app = celery.Celery("celery_smtplib", broker=os.environ.get("BENCH_BROKER"))
app.conf.update(task_ignore_result=True, worker_prefetch_multiplier=64, broker_connection_retry_on_startup=True)

_RECIPIENTS = "SELECT recipient, email, first_name, last_name, username FROM recipients ORDER BY recipient"
_SENT = "UPDATE recipients SET status = 'sent', sent_at = clock_timestamp(), message_id = %s WHERE recipient = %s"


@worker_ready.connect  # type: ignore[untyped-decorator]
def _say_ready(**_: object) -> None:
    assert sys.__stdout__ is not None  # noqa: S101 - somebody waits for it
    sys.__stdout__.write("ready\n")
    sys.__stdout__.flush()


class Kept:
    """What each process of the pool opens once and keeps."""

    def __init__(self) -> None:
        said = json.loads(Path(os.environ["BENCH_LETTER"]).read_text(encoding="utf-8"))
        plain, escaped = jinja2.Environment(autoescape=False), jinja2.Environment(autoescape=True)  # noqa: S701
        self.subject = plain.from_string(said["subject"])
        self.text = plain.from_string(said["text"])
        self.html = escaped.from_string(said["html"])
        self.smtp = smtplib.SMTP("127.0.0.1", int(os.environ["BENCH_SMTP_PORT"]))
        self.database = psycopg.connect(os.environ["BENCH_DATABASE_URL"], autocommit=True)


@lru_cache(maxsize=1)
def kept() -> Kept:
    """This process's own, opened by its first task."""
    return Kept()


@app.task(name="letter", autoretry_for=(smtplib.SMTPException, OSError), max_retries=5)  # type: ignore[untyped-decorator]
def letter(data: dict[str, str]) -> None:
    """Send the letter to one recipient, and write down that it went."""
    ours = kept()
    message = EmailMessage()
    message["From"] = "Training <training@rollcall.example>"
    message["To"] = formataddr((f"{data['first_name']} {data['last_name']}", data["email"]))
    message["Subject"] = ours.subject.render(data)
    message["Message-ID"] = make_msgid(domain="rollcall.example")
    message.set_content(ours.text.render(data))
    message.add_alternative(ours.html.render(data), subtype="html")
    ours.smtp.send_message(message)
    ours.database.execute(_SENT, (message["Message-ID"], data["recipient"]))


def main() -> None:
    """For each line on stdin, a task for each recipient."""
    with (
        psycopg.connect(os.environ["BENCH_DATABASE_URL"], autocommit=True, row_factory=dict_row) as session,
        app.producer_pool.acquire(block=True) as producer,
    ):
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        for _ in sys.stdin:
            for data in session.execute(_RECIPIENTS).fetchall():
                letter.apply_async((data,), producer=producer)


if __name__ == "__main__":
    main()
