"""Why no mail goes: what the mail server or TLS said, since when, and what to do. Pure."""

import re
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from tasks.mail.sending.answers import About, Stage, about

#: Where mail to everybody is out, and not to one domain.
EVERYWHERE = "everywhere"

#: What it is about where the server was not reached at all.
UNREACHABLE = "unreachable"

#: What to do about it.
WHAT_TO_DO = {
    UNREACHABLE: "see that the mail server of SMTP_URL runs and can be reached from here",
    About.SIGN_IN.value: "look at SMTP_URL: host, user, password, tls=, and the certificate of the server",
    About.SENDER.value: "look at MAIL_FROM and BOUNCE_ADDRESS: the server must take them as senders",
    About.REPUTATION.value: "have the address of this machine, or of the mail server, taken off the list that is named",
    About.CONNECTIONS.value: "have the number of connections raised, or close what else holds them",
    About.RATE.value: "have the limit raised, or set ROLLCALL_MAIL_RATE below it",
    About.ROUTE.value: "see what troubles the mail server, as it says, or ask whoever runs it",
    About.POLICY.value: "ask whoever runs the mail server why it refuses us",
}

#: Characters of what was said that are kept.
LONGEST_SAID = 300

_ADDRESS = re.compile(r"(?<![^\s<>()\[\]\"',;:@])[^\s<>()\[\]\"',;:@]+@[^\s<>()\[\]\"',;:@]+")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\s]+")
_CONNECTING = re.compile(r"^Error connecting to .*?: (?=\[Errno|.*)|^\[Errno -?\d+\] ?|\[SSL: \w+\] ?| \(_ssl\.c:\d+\)")


@dataclass(frozen=True, slots=True)
class MailOutage:
    """Since when no mail goes, where to (`everywhere`, or a domain), what it is about, what was said, what to do."""

    since: datetime
    where: str
    about: str
    code: int | None
    said: str
    what_to_do: str

    @property
    def in_words(self) -> str:
        """An outage as one line for a person."""
        where = "No mail goes" if self.where == EVERYWHERE else f"No mail goes to {self.where}"
        said = " ".join(str(part) for part in (self.code, self.said) if part)
        return f"{where} since {self.since:%Y-%m-%d %H:%M:%S} UTC ({self.about}): {said}. Do this: {self.what_to_do}."


def outage(where: str, since: float, what: str, code: int | None, said: str) -> MailOutage:
    """An outage as it is shown."""
    known = WHAT_TO_DO.get(what, WHAT_TO_DO[About.POLICY.value])
    return MailOutage(datetime.fromtimestamp(since, UTC), where or EVERYWHERE, what, code, said, known)


def as_said(text: str, secrets: Iterable[str | None] = ()) -> str:
    """What a server said, short, on one line, without anybody's address and without what was told it in confidence."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "…")
    return _ADDRESS.sub("…", _UNPRINTABLE.sub(" ", text)).strip()[:LONGEST_SAID]


def not_reached(problem: BaseException, secrets: Iterable[str | None] = ()) -> tuple[int | None, str, About | None]:
    """What was said as we connected or signed in: its code, its words (the server's, TLS's or the system's), and what
    that is about, None where nobody was reached."""
    import aiosmtplib  # noqa: PLC0415 - only where somebody was to be reached

    if isinstance(problem, aiosmtplib.SMTPResponseException):
        code = problem.code if 200 <= problem.code < 600 else None
        said = as_said(problem.message, secrets)
        return code, said, about(code, said, stage=Stage.CONNECT)
    cause = _deepest(problem)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return None, as_said(f"certificate verify failed: {cause.verify_message}"), About.SIGN_IN
    if isinstance(cause, ssl.SSLError):
        return None, as_said(_CONNECTING.sub("", str(cause)) or "TLS failed"), About.SIGN_IN
    if isinstance(problem, aiosmtplib.SMTPNotSupported):
        return None, as_said(str(problem), secrets), About.SIGN_IN
    if isinstance(problem, TimeoutError):
        return None, "no answer in time", None
    said = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause) or type(cause).__name__
    return None, as_said(_CONNECTING.sub("", said), secrets), None


def _deepest(problem: BaseException) -> BaseException:
    """What lies behind a problem: the system's own words, which the library puts into one of its own."""
    seen = problem
    for _ in range(5):
        behind = seen.__cause__ or seen.__context__
        if not isinstance(behind, OSError | ssl.SSLError):
            return seen
        seen = behind
    return seen
