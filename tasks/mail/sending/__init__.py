"""From an envelope to a server's answer: the protocol, the pool of connections, and the pace."""

from typing import TYPE_CHECKING

from config.lazily import lazily

if TYPE_CHECKING:
    from tasks.mail.sending.answers import ABOUT_US, MEETS_EVERYBODY, About, Stage, about
    from tasks.mail.sending.envelope import Envelope
    from tasks.mail.sending.outages import as_said
    from tasks.mail.sending.pace import Lanes
    from tasks.mail.sending.pool import Mailer
    from tasks.mail.sending.rates import Feedback, Rates
else:
    __getattr__ = lazily(__name__)
