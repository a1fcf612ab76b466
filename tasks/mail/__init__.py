"""The ledger of deliveries, the gate that every mail passes, and the engine that sends."""

from typing import TYPE_CHECKING

from config.lazily import lazily

if TYPE_CHECKING:
    from tasks.mail.addresses import ADDRESS, LONGEST_ADDRESS, mail_key, wire_address
    from tasks.mail.composing import (
        AURORA,
        BODY,
        LANGUAGES,
        SUBJECT,
        Branding,
        Links,
        MergeError,
        MergeField,
        Signer,
        compose,
        identity,
        sample,
        spoken,
        without_default,
    )
    from tasks.mail.composing import PATH as UNSUBSCRIBE_PATH
    from tasks.mail.composing import check_announcement as check_template
    from tasks.mail.ledger import (
        IT_WAS_RESTORED,
        MOST_LEARNERS,
        NOTICES,
        OPEN_FOR_CANDIDATES,
        VERDICT,
        Affected,
        Mailing,
        MailingChange,
        MailPaused,
        ReceivedMail,
        Recipient,
        RetriedNotices,
        SentInLog,
        SinceRestore,
        Subscription,
        Tally,
        Witness,
        any_accepted,
        as_recipient,
        asks_after_restore,
        audience_stretches,
        awaits_decision,
        cancel_idle,
        close_cancelled,
        enqueue,
        history,
        in_progress,
        judged,
        known_since_restore,
        left_settled,
        mailing,
        make_move,
        make_pending,
        new_mailings,
        nobody_in_particular,
        notice_restore,
        notify_admins,
        open_for_audience,
        open_for_enrolled,
        open_for_pairs,
        paused,
        received_by,
        resubscribe,
        retry_notices,
        settle_restore,
        some_recipient,
        subscription,
        take_log,
        tallies,
        tally,
        unsubscribe,
        unworked,
        verdict_on,
        why_paused,
    )
    from tasks.mail.ledger import pause as pause_all
    from tasks.mail.ledger import resume as resume_all
    from tasks.mail.rules import MOVES, NOBODY, SYSTEM, Delivery, Kind, MailAttempt, MailResult, Verdict
    from tasks.mail.sending import (
        ABOUT_US,
        STATUS,
        UNREACHABLE,
        About,
        Envelope,
        Mailer,
        MailOutage,
        ServerCheck,
        Stage,
        about,
        current_outages,
        permanent,
    )
    from tasks.mail.sending import check as check_server
else:
    __getattr__ = lazily(__name__)
