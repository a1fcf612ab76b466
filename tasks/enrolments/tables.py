"""Courses with their rules, and who is enrolled in them."""

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Double, Integer, Table, Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.schema import SchemaItem

from config.tables import MOMENT, TRACEPARENT, index, key, metadata, optional, required

#: The SQL functions of this capability, and what each is for.
FUNCTIONS = {
    "enrolment_sources": "what holds an enrolment now: rules are asked, not stored (R10)",
    "start_enrolments": "keeps the earliest start of enrolments",
    "complete_enrolments": "keeps the newest completion of enrolments (S14)",
    "flag_enrolments": "flags enrolments for review, for starts that cost nothing (S13)",
    "gives_access": "whether an enrolment gives access, as the view access says of each (R3)",
    "withdrawn_by_name": "the withdrawals by name that cover a cycle: the one answer (R10, S4)",
}

courses = Table(
    "courses",
    metadata,
    key("organisation", Integer),
    key("course", Integer, numbered=True),
    required("id", Text, "the platform's id"),
    required("title", Text),
    required("cost", BigInteger, "credits that a start consumes", check="cost >= 0"),
    required("on_hold", Boolean, "nobody has access (R3), and nobody is told of it (S7)"),
    required(
        "method",
        Text,
        "who is enrolled by rule: nobody, everyone, or the members of segments",
        check="method IN ('manual', 'everyone', 'segments')",
    ),
    required("rules_since", MOMENT, "since when its method and links are what they are: no rule enrols earlier"),
    required("saved_at", MOMENT, "time of the event that described it (R6)"),
    UniqueConstraint("organisation", "id"),
    comment="courses, as the platform described them last; course_rules has what they were",
)

course_segments = Table(
    "course_segments",
    metadata,
    key("organisation", Integer),
    key("course", Integer),
    key("segment", Integer),
    index("course_segments_of_segment", "organisation", "segment"),
    comment="the segments whose members a course enrols by rule now (R10)",
)

course_rules = Table(
    "course_rules",
    metadata,
    key("organisation", Integer),
    key("course", Integer),
    key("occurred_at", MOMENT),
    required("method", Text),
    required("segments", ARRAY(Integer), "empty unless the method is segments"),
    index("course_rules_newest", "organisation", "occurred_at"),
    comment="the method and links of a course, from each time on at which it was described (R10)",
)

fanouts = Table(
    "fanouts",
    metadata,
    key("organisation", Integer),
    key("fanout", BigInteger, numbered=True),
    required("courses", ARRAY(Integer), "empty: every course whose rules are about the learners"),
    required("cycle", Integer),
    required(
        "cause",
        Text,
        "a request, the rules of a course, or all rules for learners who came, came back or are active again",
        check="cause IN ('request', 'rule', 'arrival', 'return', 'reactivation')",
    ),
    optional("request", Text, "the id of the request; null: by rule"),
    required("occurred_at", MOMENT),
    optional(
        "mailing",
        BigInteger,
        "the notice that tells of it; null: nobody is told, or each learner by a mailing of their own",
    ),
    optional("learners", ARRAY(Integer), "whom a request selected; null: by the rules of the course"),
    required("reasons", JSONB, "how many learners were not enrolled, by why", default="'{}'"),
    required("selected", Integer, "learners whom it is about", default="0"),
    required("enrolled", Integer, "counts of enrolments", default="0"),
    required("silent", Integer, "enrolled without a notice, as the learner is inactive (R1)", default="0"),
    required("already", Integer, "were enrolled before", default="0"),
    optional("finished_at", MOMENT, "null: work of it is left"),
    optional("sources", ARRAY(Text), "with events and times: of each learner in turn the event that caused it"),
    optional("events", ARRAY(Text)),
    optional("times", ARRAY(MOMENT), "of each learner in turn the event (source, id and time) that caused it"),
    optional("traceparent", Text, "the trace that it belongs to; null: none is known", default=TRACEPARENT),
    index("fanouts_request", "organisation", "request", unique=True, where="request IS NOT NULL"),
    index("fanouts_running", "organisation", where="finished_at IS NULL"),
    comment="requests and rules that enrol many learners: what they are to do, and the counts they report (R14)",
)


def _of_an_enrolment() -> list[SchemaItem]:
    """What is known of an enrolment, whether it began or not."""
    return [
        key("organisation", Integer),
        key("course", Integer),
        key("cycle", Integer, "1, or a later one that a request opened for a learner who takes the course again"),
        key("learner", Integer),
        required("silent", Boolean, "recorded while the learner was inactive: nobody was told (R1)"),
        required("fanout", BigInteger, "the fan-out that recorded it last"),
        optional("notice", BigInteger, "the mailing that tells of it, if any"),
        required(
            "enrolled_at",
            MOMENT,
            "of a withdrawn one that was recorded anew: when it began again; stints has the earlier ones",
        ),
        optional(
            "activated_at",
            MOMENT,
            "when access began: later than the enrolment where the learner was inactive; null: not yet",
        ),
        optional("started_at", MOMENT, "the first start that counts"),
        optional("completed_at", MOMENT),
        optional("withdrawn_at", MOMENT),
        optional("withdrawn_by", Text, "a rule that no longer holds it, or a request that names the learner (R10)"),
        optional("requests", ARRAY(BigInteger), "the requests that hold it (R10); rules are asked, not stored"),
        optional("result", Text, "of the completion, in the platform's word"),
        optional("score", Double, "of the completion"),
        optional("review", Text, "why a person should look at a start that cost nothing (S13)"),
        optional(
            "asked", ARRAY(BigInteger), "every request that selected the learner, also where it holds nothing by now"
        ),
        required(
            "before_history",
            Boolean,
            "recorded when no history of rules was kept: it is never told anew",
            default="false",
        ),
        CheckConstraint("withdrawn_by IN ('rule', 'name')", name="enrolments_withdrawn_by_check"),
    ]


enrolments = Table(
    "enrolments",
    metadata,
    *_of_an_enrolment(),
    index("enrolments_of_learner", "organisation", "learner"),
    postgresql_with={"fillfactor": 90},
    comment="who is enrolled in what, once for each cycle; withdrawn ones stay",
)

void_enrolments = Table(
    "void_enrolments",
    metadata,
    *_of_an_enrolment(),
    index("void_enrolments_organisation_learner_idx", "organisation", "learner"),
    comment="of enrolments that, as it turned out, never began: what is known of them besides",
)

stints = Table(
    "stints",
    metadata,
    key("organisation", Integer),
    key("course", Integer),
    key("cycle", Integer),
    key("learner", Integer),
    key("enrolled_at", MOMENT),
    required("withdrawn_at", MOMENT),
    optional("withdrawn_by", Text, "rule or name"),
    index("stints_of_learner", "organisation", "learner", "course"),
    comment="when an enrolment stood before it was recorded anew (R10); a late start may belong there",
)

withdrawals = Table(
    "withdrawals",
    metadata,
    key("organisation", Integer),
    key("course", Integer),
    key("learner", Integer),
    key("cycle", Integer, "0: every cycle"),
    key("occurred_at", MOMENT),
    comment="every withdrawal by name; cycle 0 covers every cycle (R10, S4)",
)

access = Table(
    "access",
    metadata,
    optional("organisation", Integer),
    optional("learner", Integer),
    optional("course", Integer),
    optional("cycle", Integer),
    optional("active", Boolean, "the learner is"),
    optional("not_withdrawn", Boolean, "the enrolment stands"),
    optional("not_on_hold", Boolean, "the course is not on hold"),
    optional("granted", Boolean, "all three hold: the learner has access"),
    info={"is_view": True},
    comment="who has access to what: derived, never stored (R3)",
)

linked = Table(
    "linked",
    metadata,
    optional("organisation", Integer),
    optional("course", Integer),
    optional("segment", Integer),
    optional("learner", Integer),
    info={"is_view": True},
    comment="members of the segments a course is linked to; its method says whether links count (R10)",
)
