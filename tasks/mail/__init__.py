"""The ledger of deliveries, the gate that every mail passes, and the engine that sends."""

from typing import TYPE_CHECKING

from config.lazily import lazily

if TYPE_CHECKING:
    from tasks.mail.actors import deliver
    from tasks.mail.addresses import ADDRESS, LONGEST_ADDRESS, mail_key, wire_address
    from tasks.mail.composing.branding import Branding
    from tasks.mail.composing.dkim import Signer
    from tasks.mail.composing.envelopes import compose, identity
    from tasks.mail.composing.links import PATH as UNSUBSCRIBE_PATH
    from tasks.mail.composing.links import Links
    from tasks.mail.composing.merge import (
        MergeError,
        MergeField,
        SubjectError,
        first_lines_without_default,
        without_default,
    )
    from tasks.mail.composing.merge import problems as merge_problems
    from tasks.mail.composing.phrases import LANGUAGES, spoken
    from tasks.mail.composing.return_paths import LONGEST_TOKEN, ReturnPaths, Token, fingerprint
    from tasks.mail.composing.samples import AURORA, BODY, SUBJECT, sample
    from tasks.mail.composing.templates import check_announcement as check_template
    from tasks.mail.ledger.ageing import forget_ledgers, is_done_with, is_forgotten, months_numbered, number_by_month
    from tasks.mail.ledger.control import MailPaused, awaits_decision, paused
    from tasks.mail.ledger.control import pause as pause_all
    from tasks.mail.ledger.control import resume as resume_all
    from tasks.mail.ledger.drafts import Draft, create_draft, delete_draft, rewrite_draft
    from tasks.mail.ledger.erasing import (
        forget_addresses,
        forget_recipients,
        forget_texts,
        rewrite_reasons,
        rewrite_texts,
        texts_naming,
    )
    from tasks.mail.ledger.gate import Recipient
    from tasks.mail.ledger.mailings import (
        Mailing,
        MailingUnderWay,
        ReceivedMail,
        Tally,
        are_open,
        in_progress,
        keep_counts,
        mailing,
        received_by,
        tallies,
        tally,
        under_way,
        unworked,
    )
    from tasks.mail.ledger.moves import MailingChange, close_cancelled, history, make_move, why_paused
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
        AudienceVerdict,
        any_accepted,
        as_recipient,
        cancel_idle,
        judged_audience,
        judged_everyone,
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
        asks_after_restore,
        known_since_restore,
        notice_restore,
        record_log,
        settle_restore,
    )
    from tasks.mail.ledger.retrying import NOTICES, RetriedNotices, retry_notices
    from tasks.mail.ledger.settling import settle_uncertain
    from tasks.mail.ledger.subscriptions import Subscription, resubscribe, subscription, unsubscribe
    from tasks.mail.ledger.suppressions import (
        SUPPRESSIONS,
        Chosen,
        NumberedSuppression,
        Suppressed,
        Suppression,
        count_suppressions,
        lift,
        suppress,
        suppression_of,
        suppression_place,
        suppressions_after,
    )
    from tasks.mail.ledger.witness import Witness
    from tasks.mail.rules import MOVES, NOBODY, SYSTEM, Delivery, Kind, MailAttempt, MailResult, Verdict
    from tasks.mail.sending.answers import ABOUT_US, STATUS, About, Stage, about, permanent
    from tasks.mail.sending.checking import ServerCheck
    from tasks.mail.sending.checking import check as check_server
    from tasks.mail.sending.envelope import Envelope
    from tasks.mail.sending.outages import EVERYWHERE, UNREACHABLE, MailOutage
    from tasks.mail.sending.pool import Mailer
    from tasks.mail.sending.rates import current_outages
else:
    __getattr__ = lazily(__name__)
