"""From what is said to the bytes of a message."""

from typing import TYPE_CHECKING

from config.lazily import lazily

if TYPE_CHECKING:
    from tasks.mail.composing.envelopes import compose, identity
else:
    __getattr__ = lazily(__name__)
