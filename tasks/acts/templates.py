"""What our mail looks like, before any is sent."""

from dataclasses import dataclass

from config.errors import Invalid
from tasks import mail
from tasks.acts.acting import Doing, Nothing, act

_SAYS = {
    mail.Kind.ANNOUNCEMENT: ("learners", "what an admin has written"),
    mail.Kind.ENROLMENT: ("learners", "which courses they were enrolled in"),
    mail.Kind.DIGEST: ("learners", "what is open to them now that they are active again"),
    mail.Kind.PASSWORD: ("admins", "who needs a temporary password"),
    mail.Kind.SEATS: ("admins", "that most, or all, of the seats or credits are used"),
}


@dataclass(frozen=True, slots=True)
class Template:
    """One kind of mail."""

    template: str
    to: str
    says: str
    locales: list[str]


@dataclass(frozen=True, slots=True)
class TemplateSample:
    """A mail of one kind with made-up contents, in the language that is spoken to those of this locale."""

    template: str
    locale: str
    organisation: str | None
    subject: str
    html: str
    text: str


@dataclass(frozen=True, slots=True)
class TemplateOf:
    """The kind of mail, and the recipient's locale; of an announcement, its subject and body."""

    template: mail.Kind
    locale: str = "en"
    subject: str | None = None
    body: str | None = None


def kinds() -> list[Template]:
    """The kinds of mail, and the languages that each speaks."""
    return [Template(kind.value, to, says, list(mail.LANGUAGES)) for kind, (to, says) in _SAYS.items()]


def sample_of(
    asked: TemplateOf, branding: mail.Branding | None = None, organisation: str | None = None
) -> TemplateSample:
    """A mail of this kind, as an organisation's or as that of a made-up one."""
    if asked.template is not mail.Kind.ANNOUNCEMENT and (asked.subject is not None or asked.body is not None):
        raise Invalid("Only an announcement has a subject and a body of your own.")
    subject = mail.SUBJECT if asked.subject is None else asked.subject
    body = mail.BODY if asked.body is None else asked.body
    try:
        seen = mail.sample(asked.template, branding or mail.AURORA, asked.locale, subject, body)
    except mail.MergeError as problem:
        raise Invalid(str(problem)) from None
    language = mail.spoken(asked.locale).code
    return TemplateSample(asked.template.value, language, organisation, seen.subject, seen.html, seen.text)


@act("templates.list", "GET /templates")
def list_(_doing: Doing, asked: Nothing) -> list[Template]:  # noqa: ARG001 - nothing is asked
    """List the kinds of mail, and the languages that each speaks."""
    return kinds()


@act("templates.sample", "POST /templates/{template}", changes=False)
def sample(_doing: Doing, asked: TemplateOf) -> TemplateSample:
    """Render a mail of a made-up organisation."""
    return sample_of(asked)


@act("templates.render", "POST templates/{template}", changes=False)
def render(doing: Doing, asked: TemplateOf) -> TemplateSample:
    """Render a mail with the organisation's name, logo and colour."""
    org = doing.organisation
    return sample_of(asked, mail.Branding(org.name, org.logo, org.colour), org.id)
