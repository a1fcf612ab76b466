"""Who gets a mail, and what became of it: the gate, the deliveries and what is remembered of them."""

from typing import TYPE_CHECKING

from config.lazily import lazily

if TYPE_CHECKING:
    from tasks.mail.ledger.control import MailPaused, awaits_decision, pause, paused, resume
    from tasks.mail.ledger.deliveries import (
        InProgress,
        Mailing,
        ReceivedMail,
        Recipient,
        Tally,
        in_progress,
        mailing,
        received_by,
        tallies,
        tally,
        unworked,
    )
    from tasks.mail.ledger.drafts import Draft, create_draft, rewrite_draft
    from tasks.mail.ledger.erasing import forget_addresses, forget_recipients, forget_texts, rewrite_texts
    from tasks.mail.ledger.message_ids import MessageIds, digest, length_prefixed, message_ids_of, numbers
    from tasks.mail.ledger.moves import MailingChange, close_cancelled, history, make_move, pause_once, why_paused
    from tasks.mail.ledger.opening import (
        MOST_LEARNERS,
        OPEN_FOR_CANDIDATES,
        VERDICT,
        audience_stretches,
        enqueue,
        new_mailings,
        notify_admins,
        open_for_audience,
        open_for_enrolled,
        open_for_pairs,
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
    from tasks.mail.ledger.restored import (
        IT_WAS_RESTORED,
        Affected,
        SentInLog,
        SinceRestore,
        asks_after_restore,
        known_since_restore,
        notice_restore,
        settle_restore,
        take_log,
    )
    from tasks.mail.ledger.retrying import NOTICES, RetriedNotices, retry_notices
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
    from tasks.mail.ledger.witness import Witness
else:
    __getattr__ = lazily(__name__)
