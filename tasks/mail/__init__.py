"""The ledger of deliveries, the gate that every mail passes, and the engine that sends."""

from typing import TYPE_CHECKING

from config.lazily import lazily

if TYPE_CHECKING:
    from tasks.mail.composing.branding import Look
    from tasks.mail.composing.links import Links
    from tasks.mail.composing.merge import MergeError
    from tasks.mail.composing.phrases import LANGUAGES, spoken
    from tasks.mail.composing.return_paths import LONGEST_TOKEN, ReturnPaths, Token, fingerprint
    from tasks.mail.composing.samples import AURORA, BODY, SUBJECT, sample
    from tasks.mail.composing.templates import check_announcement as check_template
    from tasks.mail.ledger.deliveries import Mailing, Tally, tallies, tally, unworked
    from tasks.mail.ledger.drafts import Draft, create_draft, rewrite_draft
    from tasks.mail.ledger.erasing import forget_addresses, forget_recipients, forget_texts, rewrite_texts
    from tasks.mail.ledger.moves import Change, close_cancelled, history, make_move, why_paused
    from tasks.mail.ledger.opening import (
        MOST_LEARNERS,
        OPEN_FOR_CANDIDATES,
        VERDICT,
        audience_stretches,
        enqueue,
        new_mailings,
        open_for_audience,
        open_for_enrolled,
        open_for_pairs,
        tell_admins,
    )
    from tasks.mail.ledger.recipients import (
        any_accepted,
        as_recipient,
        cancel_idle,
        judged,
        left_settled,
        make_pending,
        nobody_in_particular,
        some_recipient,
        verdict_on,
    )
    from tasks.mail.ledger.subscriptions import Subscription, resubscribe, subscription, unsubscribe
    from tasks.mail.ledger.suppressions import (
        SUPPRESSIONS,
        Chosen,
        Suppressed,
        Suppression,
        count_suppressions,
        lift,
        suppress,
    )
    from tasks.mail.rules import Kind, Verdict
else:
    __getattr__ = lazily(__name__)

__all__ = [
    "AURORA",
    "BODY",
    "LANGUAGES",
    "LONGEST_TOKEN",
    "MOST_LEARNERS",
    "OPEN_FOR_CANDIDATES",
    "SUBJECT",
    "SUPPRESSIONS",
    "VERDICT",
    "Change",
    "Chosen",
    "Draft",
    "Kind",
    "Links",
    "Look",
    "Mailing",
    "MergeError",
    "ReturnPaths",
    "Subscription",
    "Suppressed",
    "Suppression",
    "Tally",
    "Token",
    "Verdict",
    "any_accepted",
    "as_recipient",
    "audience_stretches",
    "cancel_idle",
    "check_template",
    "close_cancelled",
    "count_suppressions",
    "create_draft",
    "enqueue",
    "fingerprint",
    "forget_addresses",
    "forget_recipients",
    "forget_texts",
    "history",
    "judged",
    "left_settled",
    "lift",
    "make_move",
    "make_pending",
    "new_mailings",
    "nobody_in_particular",
    "open_for_audience",
    "open_for_enrolled",
    "open_for_pairs",
    "resubscribe",
    "rewrite_draft",
    "rewrite_texts",
    "sample",
    "some_recipient",
    "spoken",
    "subscription",
    "suppress",
    "tallies",
    "tally",
    "tell_admins",
    "unsubscribe",
    "unworked",
    "verdict_on",
    "why_paused",
]
