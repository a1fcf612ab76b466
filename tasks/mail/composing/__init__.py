"""From what is said to the bytes of a message."""

from typing import TYPE_CHECKING

from config.lazily import lazily

if TYPE_CHECKING:
    from tasks.mail.composing.branding import Branding
    from tasks.mail.composing.dkim import Signer
    from tasks.mail.composing.envelopes import Identity, compose, identity
    from tasks.mail.composing.links import PATH, Links
    from tasks.mail.composing.merge import MergeError, MergeField, without_default
    from tasks.mail.composing.phrases import LANGUAGES, spoken
    from tasks.mail.composing.return_paths import LONGEST_TOKEN, ReturnPaths, Token, fingerprint
    from tasks.mail.composing.samples import AURORA, BODY, SUBJECT, sample
    from tasks.mail.composing.templates import check_announcement
else:
    __getattr__ = lazily(__name__)
