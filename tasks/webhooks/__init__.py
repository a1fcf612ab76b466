"""Events out, sent by HTTP as well: signed, in order, tried again, with a log. Optional: the stream has everything."""

from typing import TYPE_CHECKING

from config.lazily import lazily

if TYPE_CHECKING:
    from tasks.webhooks.keys import KeyUnreadable, SigningKeys
    from tasks.webhooks.rules import Answer, BadUrl, Because, Problem, State, bad_types, is_forbidden, target
    from tasks.webhooks.sending import Claimed
    from tasks.webhooks.server import WebhookServer
    from tasks.webhooks.store import (
        PLATFORM,
        Attempt,
        Health,
        Keyring,
        Webhook,
        add,
        disable,
        enable,
        find,
        forget_answers,
        health,
        keyring,
        log,
        remove,
        rotate,
        webhooks,
    )
else:
    __getattr__ = lazily(__name__)
