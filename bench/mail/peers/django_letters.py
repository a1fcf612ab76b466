"""django-post_office, sending with its own `send_queued_mail`, in an environment of its own.

As its documentation advises for many mails: `send_many`, `render_on_delivery` of a template in the database, several
processes, a large batch. It logs each delivery, as it does unless told otherwise. For each line on stdin it queues the
mailing and sends it.
"""

import json
import logging
import os
import sys
import tempfile
from pathlib import Path

import django
from django.conf import settings
from django.core.management import call_command
from django.db import connection

#: Mails queued by one INSERT.
BATCH = 1000

settings.configure(
    SECRET_KEY="only for measuring",  # noqa: S106
    USE_TZ=True,
    INSTALLED_APPS=["django.contrib.contenttypes", "post_office"],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": os.environ["BENCH_DATABASE_NAME"],
            "USER": "postgres",
            "HOST": os.environ["BENCH_DATABASE_HOST"],
            "PORT": os.environ["BENCH_DATABASE_PORT"],
        }
    },
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
    CACHES={"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}},
    EMAIL_BACKEND="post_office.EmailBackend",
    EMAIL_HOST="127.0.0.1",
    EMAIL_PORT=int(os.environ["BENCH_SMTP_PORT"]),
    POST_OFFICE={
        "BACKENDS": {"default": "django.core.mail.backends.smtp.EmailBackend"},
        "BATCH_SIZE": int(os.environ["BENCH_BATCH"]),
        "THREADS_PER_PROCESS": int(os.environ["BENCH_THREADS"]),
    },
)
django.setup()
logging.disable(logging.INFO)

from post_office import mail  # noqa: E402 - Django is to be set up first
from post_office.models import Email, EmailTemplate  # noqa: E402

_RECIPIENTS = "SELECT email, first_name, last_name, username FROM recipients ORDER BY recipient"


def main() -> None:
    """Queue and send, for each line on stdin."""
    call_command("migrate", verbosity=0)
    letter = json.loads(Path(os.environ["BENCH_LETTER"]).read_text(encoding="utf-8"))
    EmailTemplate.objects.filter(name="letter").delete()
    template = EmailTemplate.objects.create(
        name="letter", subject=letter["subject"], content=letter["text"], html_content=letter["html"]
    )
    Email.objects.all().delete()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    with tempfile.TemporaryDirectory() as folder:
        for _ in sys.stdin:
            _queue(template)
            call_command(
                "send_queued_mail", processes=int(os.environ["BENCH_PROCESSES"]), lockfile=f"{folder}/lock", verbosity=0
            )


def _queue(template: EmailTemplate) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_RECIPIENTS)
        rows = cursor.fetchall()
    for first in range(0, len(rows), BATCH):
        mail.send_many(
            [
                {
                    "sender": "Training <training@rollcall.example>",
                    "recipients": [email],
                    "template": template,
                    "context": {
                        "email": email, "first_name": first_name, "last_name": last_name, "username": username
                    },
                    "render_on_delivery": True,
                }
                for email, first_name, last_name, username in rows[first : first + BATCH]
            ]
        )  # fmt: skip


if __name__ == "__main__":
    main()
