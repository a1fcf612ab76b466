"""From a mailing and a recipient to the bytes of a message: compiled once for each mailing and language."""

from datetime import UTC, datetime
from functools import lru_cache

from config.settings import sender_address
from tasks.mail.message import CompiledMessage, compile_message, feedback_id, message_id
from tasks.mail.phrases import spoken
from tasks.mail.rules import Kind
from tasks.mail.smtp import Envelope
from tasks.mail.store import Mailing, Recipient
from tasks.mail.templates import announcement, digest_notice, enrolment_notice, listing, password_notice


@lru_cache(maxsize=64)
def _compiled(mailing: Mailing, language: str, mail_from: str) -> CompiledMessage:
    match mailing.kind:
        case Kind.ANNOUNCEMENT:
            parts = announcement(mailing.subject, mailing.body, mailing.look, language)
        case Kind.DIGEST:
            parts = digest_notice(mailing.look, language)
        case Kind.PASSWORD:
            parts = password_notice(mailing.look, language)
        case _:
            parts = enrolment_notice(mailing.look, language)
    subject, html, text = parts
    headers = {
        "Feedback-ID": feedback_id(mailing.id, mailing.organisation_id, mailing.kind.value),
        "Auto-Submitted": "auto-generated",
        **({"Precedence": "bulk"} if mailing.kind is Kind.ANNOUNCEMENT else {}),
    }
    return compile_message(subject=subject, html=html, text=text, mail_from=mail_from, headers=headers)


def compose(mailing: Mailing, recipient: Recipient, mail_from: str) -> Envelope:
    """The message of one recipient; the same Message-ID however often it is made (R19)."""
    sender = sender_address(mail_from)
    html, text = listing(recipient.items)
    identity = (mailing.organisation_id, mailing.kind.value, mailing.source, mailing.id, recipient.id)
    return Envelope(
        recipient.recipient,
        sender,
        recipient.address,
        _compiled(mailing, spoken(recipient.locale).code, mail_from).render(
            to_address=recipient.address,
            to_name=f"{recipient.first_name} {recipient.last_name}".strip(),
            message_id=message_id(identity, sender.rpartition("@")[2]),
            date=datetime.now(UTC),
            values={
                "first_name": recipient.first_name,
                "last_name": recipient.last_name,
                "full_name": f"{recipient.first_name} {recipient.last_name}".strip(),
                "username": recipient.username,
                "email": recipient.address,
                "courses_html": html,
                "courses_text": text,
                "learners_html": html,
                "learners_text": text,
            },
        ),
    )
