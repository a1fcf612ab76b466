"""Who is enrolled in what, by which rule or request, and who has access."""

from typing import TYPE_CHECKING

from config.lazily import lazily

if TYPE_CHECKING:
    from tasks.enrolments.access import (
        AccessFound,
        Enrolment,
        Explained,
        PairAccess,
        access_of,
        access_of_pairs,
        at_stake,
        enrolments_of,
        explain,
        unopened,
    )
    from tasks.enrolments.actors import chunk, survey
    from tasks.enrolments.courses import Course, CourseDetails, course_details, courses_after, find_course
    from tasks.enrolments.fanouts import (
        EnrolmentCounts,
        FanoutUnderWay,
        any_running,
        fanout_details,
        fanouts_under_way,
        finish_fanouts,
        running_fanouts,
        unfinished_since,
    )
    from tasks.enrolments.intake import (
        Selected,
        course_saved,
        enrolment_requested,
        enrolment_withdrawn,
        learners_arrived,
        learners_returned,
        many_arrived,
        membership_changed,
        reactivated,
        select,
        settle_learners,
        settle_places,
    )
    from tasks.enrolments.previews import EnrolmentPreview, preview_request, preview_rules
    from tasks.enrolments.reconcile import mend, off_the_rules
    from tasks.enrolments.roster import (
        EnrolledLearner,
        RunningFanout,
        enrolled_after,
        roster_scanned_to,
        running,
    )
    from tasks.enrolments.store import Newcomer, forget_results
else:
    __getattr__ = lazily(__name__)
