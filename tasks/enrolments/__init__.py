"""Who is enrolled in what, by which rule or request, and who has access."""

from typing import TYPE_CHECKING

from config.lazily import lazily

if TYPE_CHECKING:
    from tasks.enrolments.access import (
        Accessible,
        Enrolment,
        Explained,
        PairAccess,
        access_of,
        access_of_pairs,
        enrolments_of,
        explain,
        unopened,
    )
    from tasks.enrolments.courses import CourseDetails, course_details, courses_after
    from tasks.enrolments.fanouts import (
        EnrolmentCounts,
        FanoutDetails,
        any_running,
        fanout_details,
        finish_fanouts,
        running_fanouts,
        unfinished_since,
    )
    from tasks.enrolments.intake import (
        course_saved,
        enrolment_requested,
        enrolment_withdrawn,
        learners_arrived,
        learners_returned,
        many_arrived,
        membership_changed,
        reactivated,
        settle_learners,
        settle_places,
    )
    from tasks.enrolments.previewing import EnrolmentPreview, preview_request, preview_rule
    from tasks.enrolments.reconcile import mend, off_the_rules
    from tasks.enrolments.store import Newcomer
else:
    __getattr__ = lazily(__name__)
