"""Each kind of mail with made-up contents, as a mailbox would show it: to be seen before any is sent."""

from email import message_from_bytes, policy
from typing import NamedTuple

from tasks.mail.composing.branding import Branding
from tasks.mail.composing.message import compile_message
from tasks.mail.composing.templates import Usage, announcement, check_announcement, listing, notice
from tasks.mail.rules import Kind

#: Whose mail looks like this, where no organisation is named.
AURORA = Branding("Aurora Learning", colour="#0f766e")

SUBJECT = 'New in March, {{ first_name | default: "everyone" }}'
BODY = """\
Hello {{ first_name | default: "there" }},

from Monday the **workshop** is open again. Three things to know before you come:

1. Bring your badge; the door opens with nothing else.
2. Book a bench [in the calendar](https://example.org/calendar).
3. New machines ask for a short course first:
   - the lathe,
   - the laser cutter.

> Safety glasses are at the entrance. Please put them back.

See you there!

The team of {{ organisation }}
"""

_COURSES = ("Fire safety at work", "First aid: a refresher", "Working with the laser cutter")
_LEARNERS = ("Anna Ó Briain (anna)", "Bilal Haddad (bilal.h)", "Chiara De Luca (chiara)")


class RenderedMail(NamedTuple):
    """A mail as it is read."""

    subject: str
    html: str
    text: str


def sample(kind: Kind, branding: Branding, locale: str, subject: str = SUBJECT, body: str = BODY) -> RenderedMail:
    """A mail of this kind, made and read back; `subject` and `body` are an announcement's.

    Raises MergeError for a mistake in them.
    """
    if kind is Kind.ANNOUNCEMENT:
        check_announcement(subject, body, branding.name)
        written = announcement(subject, body, branding, locale, unsubscribe_link=True)
    else:
        written = notice(kind, branding, locale, Usage("seat", 1_612, 2_000) if kind is Kind.SEATS else None)
    courses_html, courses_text = listing(_COURSES)
    learners_html, learners_text = listing(_LEARNERS)
    octets = compile_message(
        subject=written[0], html=written[1], text=written[2], mail_from="learning@example.org"
    ).render(
        to_address="anna@example.org",
        to_name="Anna Ó Briain",
        message_id="<sample@example.org>",
        date="Thu, 01 Jan 2026 09:00:00 +0000",
        values={
            "first_name": "Anna",
            "last_name": "Ó Briain",
            "full_name": "Anna Ó Briain",
            "username": "anna",
            "email": "anna@example.org",
            "unsubscribe_url": "https://example.org/unsubscribe",
            "courses_html": courses_html,
            "courses_text": courses_text,
            "learners_html": learners_html,
            "learners_text": learners_text,
        },
    )
    message = message_from_bytes(octets, policy=policy.default)
    plain, html = (part.get_content().replace("\r\n", "\n") for part in message.iter_parts())
    return RenderedMail(str(message["Subject"]), html, plain)
