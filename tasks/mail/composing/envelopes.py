"""From a mailing and a recipient to the bytes of a message: compiled once for each mailing and language."""

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache

import msgspec

from config import clock
from config.addresses import sender_address
from config.keys import keys_in
from config.runtime import Runtime
from tasks.mail.composing.branding import Branding
from tasks.mail.composing.dkim import Signer
from tasks.mail.composing.links import END, Links
from tasks.mail.composing.message import CompiledMessage, compile_message, feedback_id
from tasks.mail.composing.phrases import spoken
from tasks.mail.composing.return_paths import ReturnPaths
from tasks.mail.composing.templates import Usage, announcement, listing, notice
from tasks.mail.ledger import Mailing, MessageIds, Recipient, message_ids_of
from tasks.mail.rules import Kind, RecipientKind
from tasks.mail.sending import Envelope

#: Mailings, each in one language, that are kept ready; and how many texts, compiled.
COMPILED = 64


@dataclass(frozen=True, eq=False)
class Identity:
    """Who we are in the mail that we send. Compared by being the same one, which is quick: `identity` makes one."""

    mail_from: str
    address: str
    links: Links | None
    returns: ReturnPaths
    signer: Signer | None


def identity(runtime: Runtime) -> Identity:
    """Who we are, as the settings say."""
    settings, found = runtime.settings, runtime.endpoints
    pem = "" if settings.dkim_key is None else settings.dkim_key.get_secret_value()
    return _identity(
        found.mail_from,
        found.public_url,
        found.secret_key,
        found.bounce_address,
        pem,
        settings.dkim_selector or "",
        settings.signing_domain,
    )


@lru_cache(maxsize=1)
def _identity(
    mail_from: str, public_url: str, secret_key: str, bounce_address: str, pem: str, selector: str, domain: str
) -> Identity:
    return Identity(
        mail_from,
        sender_address(mail_from),
        Links(public_url, keys_in(secret_key)) if public_url else None,
        ReturnPaths(bounce_address, secret_key),
        Signer(pem, selector, domain) if pem else None,
    )


@dataclass(frozen=True, slots=True)
class _Letter:
    """A mailing in one language, ready for its recipients."""

    message: CompiledMessage
    ids: MessageIds


@lru_cache(maxsize=COMPILED)
def _letter(mailing: Mailing, language: str, identity: Identity, unsubscribe_at: str) -> _Letter:
    named = identity.mail_from.rpartition("<")[0].strip(' "')
    mail_from = identity.mail_from if named else f"{mailing.organisation_name} <{identity.address}>"
    headers = {
        "Feedback-ID": feedback_id(mailing.id, mailing.organisation_id, mailing.kind.value),
        "Auto-Submitted": "auto-generated",
        **({"Precedence": "bulk"} if mailing.kind is Kind.ANNOUNCEMENT else {}),
    }
    return _Letter(
        _compiled(
            mailing.kind,
            mailing.subject,
            mailing.body,
            mailing.figures,
            Branding(mailing.organisation_name, mailing.logo, mailing.colour),
            language,
            mail_from,
            unsubscribe_at,
        ).with_headers(headers),
        message_ids_of(
            mailing.organisation_id,
            mailing.kind,
            mailing.source,
            mailing.id,
            identity.address.rpartition("@")[2],
        ),
    )


@lru_cache(maxsize=COMPILED)
def _compiled(
    kind: Kind,
    subject: str,
    body: str,
    figures: str | None,
    branding: Branding,
    language: str,
    mail_from: str,
    unsubscribe_at: str,
) -> CompiledMessage:
    """What a mailing says, apart from which one it is: notices of an organisation's all say the same."""
    if kind is Kind.ANNOUNCEMENT:
        subject, *bodies = announcement(subject, body, branding, language, unsubscribe_link=unsubscribe_at != "")
        # The beginning of the link is the same for all: only its token is put in for each.
        html, text = (body.replace("[[raw:unsubscribe_url]]", f"{unsubscribe_at}[[raw:token]]{END}") for body in bodies)
    else:
        usage = msgspec.json.decode(figures or "", type=Usage) if kind is Kind.SEATS else None
        subject, html, text = notice(kind, branding, language, usage)
    return compile_message(subject=subject, html=html, text=text, mail_from=mail_from)


def compose(mailing: Mailing, recipient: Recipient, identity: Identity) -> Envelope:
    """The message of one recipient; the same Message-ID and envelope sender however often it is made (R19).

    An announcement says how to unsubscribe from announcements (RFC 8058). Notices do not: they tell of what concerns
    one person, go to those who unsubscribed too, and a header must not promise what nothing keeps. Raises ValueError
    for an address that no message can be addressed to.
    """
    full_name = f"{recipient.first_name} {recipient.last_name}".strip()
    values = {
        "first_name": recipient.first_name,
        "last_name": recipient.last_name,
        "full_name": full_name,
        "username": recipient.username,
        "email": recipient.address,
    }
    unsubscribe_at, own_headers = "", None
    if mailing.kind is Kind.ANNOUNCEMENT:
        if identity.links and recipient.kind is RecipientKind.LEARNER:
            unsubscribe_at = identity.links.base
            token = values["token"] = identity.links.token(mailing.organisation, recipient.recipient)
            own_headers = {
                "List-Unsubscribe": f"<{unsubscribe_at}{token}{END}>",
                "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
            }
    else:
        html, text = listing(recipient.items)
        values |= {"courses_html": html, "courses_text": text, "learners_html": html, "learners_text": text}
    letter = _letter(mailing, spoken(recipient.locale).code, identity, unsubscribe_at)
    return Envelope(
        recipient.recipient,
        identity.returns.sender(mailing.organisation, mailing.mailing, recipient.recipient, recipient.address)
        or identity.address,
        recipient.address,
        letter.message.render(
            to_address=recipient.address,
            to_name=full_name,
            message_id=letter.ids.of(recipient.id, recipient.digest),
            date=_date(int(clock.seconds())),
            values=values,
            extra=own_headers,
            sign=identity.signer,
        ),
        dotless=True,
    )


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    """A second of Unix time as a message's Date, in UTC (RFC 5322 section 3.3)."""
    return format_datetime(datetime.fromtimestamp(second, UTC))
