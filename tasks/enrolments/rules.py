"""What decides about enrolments. Most of it is asked of sets of learners, and so lives in SQL; here is where.

- R7, R9, R10: whom the rules of a course enrol, bring back and withdraw is `enrolling.follow_rules` for many learners,
  `store.enrol_newcomers` for those who are new, `surveying.off_the_rules` for a check. Whom a linked segment holds is
  the view `linked`; what holds an enrolment, the function `enrolment_sources`.
- R7, R8, S3: that an inactive learner is enrolled silently stands where enrolments are written: `enrolling._ENROL_THEM`
  and `_REVIVE_THEM`, `store.enrol_newcomers`, and `settling` for what is heard late.
- R8, R9, S3: whom a request selects, by the history, is `learners.selected_by_id` and `learners.selected_by_number`.
- R10, S4: that a withdrawal by name stands against rules, and against requests before it, is
  asked of the function `withdrawn_by_name`.
- R11, S6: that being enrolled again adds a source and nothing else is `enrolling.follow_request`; that there is one
  enrolment for each learner, course and cycle (S5), the primary key of `enrolments`.
- R12: which notice tells of an enrolment, and that none does within the window of another, stands in the statements of
  `enrolling`; whether it may be sent is the mail's gate, `mail_verdict`.
- R10, R12, R14: what would come of rules or of a request is `previews`, and `tests/enrolments/test_previews.py` holds
  it to what then comes of them.
- R14: that the counts of a request add up is `fanouts.finish_fanouts`, by the reasons below.
- R3, R4: who has access is the view `access`; of one enrolment, the function `gives_access` says so for it.
- R6: what is heard late is judged by `timeline.timeline`, which is pure; whom it may concern is `overtaken.overtaken`.
"""

from enum import StrEnum


class NotEligible(StrEnum):
    """Why a request does not enrol a learner (R14)."""

    UNKNOWN = "unknown"
    INACTIVE = "inactive"
    WITHDRAWN = "withdrawn"


class Became(StrEnum):
    """What new rules, or a request, would make of a learner in a course."""

    ENROLLED = "enrolled"
    ALREADY = "already"
    WITHDRAWN = "withdrawn"


class NotTold(StrEnum):
    """Why somebody who would be enrolled would get no notice, besides what the mail's gate says."""

    ON_HOLD = "on hold"
    NOT_ASKED = "no notice asked for"
    TOLD_LATELY = "told lately"
