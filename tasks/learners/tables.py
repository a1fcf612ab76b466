"""Learners: how they stand, how they stood, and in which segments they are."""

from sqlalchemy import BigInteger, Boolean, Enum, Integer, Table, Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSON

from config.tables import MOMENT, index, key, metadata, optional, required

STANDING = Enum("unsaved", "active", "inactive", "deleted", name="standing", metadata=metadata)

#: What of a learner is empty or no more than blanks and marks that order, as the gate's counts look at it. Only what
#: begins with no printable character of ASCII is matched: this is asked of each learner who is written.
_EMPTY = (
    r"(ascii(coalesce({0}, '')) NOT BETWEEN 33 AND 126"
    r" AND coalesce({0}, '') ~ '^[\x01-\x20\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]*$')"
)

#: The SQL functions of this capability, and what each is for.
FUNCTIONS = {
    "status_in_life": "the status that held at a moment of a life: the one answer about the past (R6, S1)",
    "status_at": "the same of one learner, in the life in which the moment lies (S15)",
    "life_began": "the last deletion before a moment: what was before it is somebody else's (S15)",
    "memberships_off": "the memberships that are not what the history of their segment says, and what it says",
    "folded": "a text as it is searched in and for: small letters without accents",
    "search_text": "what of a learner can be searched for",
    "search_key": "a key of the index: some letters of some learner of a block of an organisation",
    "search_keys": "the keys of a text",
    "search_learners": "the first learners whom all words are said of, by the index and what it has not reached",
    "search_again": "trigger: what a learner was called leaves the search at once (S15)",
    "keep_description": "trigger: keeps in descriptions what a learner's row said before",
}

learners = Table(
    "learners",
    metadata,
    key("organisation", Integer),
    key("learner", Integer, "a small number, dense within the organisation: a range of learners is plain arithmetic"),
    required("id", Text, "the platform's id"),
    required("standing", STANDING, "unsaved: only mentioned so far, what is said of it is kept (S2)"),
    required("version", BigInteger, "the highest version known, taken by what comes without one (S1)"),
    optional(
        "saved_version", BigInteger, "the version of the description that holds; null: never described, or deleted"
    ),
    optional("saved_at", MOMENT, "time of the event that described the learner last (R6)"),
    optional("username", Text),
    optional("email", Text),
    optional("first_name", Text),
    optional("last_name", Text),
    optional("locale", Text, "the language of notices"),
    optional("time_zone", Text, "IANA name"),
    optional("deleted_at", MOMENT, "ended every membership until then (S15), also if saved again since"),
    UniqueConstraint("organisation", "id"),
    index("learners_active", "organisation", "learner", where="standing = 'active'"),
    index("learners_inactive", "organisation", "learner", where="standing = 'inactive'"),
    index("learners_not_active", "organisation", "standing", "learner", where="standing <> 'active'"),
    index("learners_unaddressed", "organisation", "learner", where="standing = 'active' AND coalesce(email, '') = ''"),
    index(
        "learners_without_a_name",
        "organisation",
        "learner",
        where=f"standing = 'active' AND ({_EMPTY.format('first_name')} OR {_EMPTY.format('last_name')})",
    ),
    postgresql_with={"fillfactor": 90},
    comment="learners, as the platform described them last",
)

status_changes = Table(
    "status_changes",
    metadata,
    key("organisation", Integer),
    key("learner", Integer),
    key("version", BigInteger, "of the learner: a higher one wins over a later time (S1)"),
    key("occurred_at", MOMENT),
    required("active", Boolean),
    required("cause", Text, "the event's type, or what else said so; history shows it"),
    comment="every change of a learner between active and inactive, by event or import (R1, R6)",
)

descriptions = Table(
    "descriptions",
    metadata,
    key("organisation", Integer),
    key("learner", Integer),
    key("occurred_at", MOMENT),
    key("version", BigInteger),
    optional("said", JSON, "kept only where a deletion that comes late could make it the one that holds"),
    comment="when a learner was described, but for the description that holds",
)

deletions = Table(
    "deletions",
    metadata,
    key("organisation", Integer),
    key("learner", Integer),
    key("occurred_at", MOMENT),
    comment="every deletion: what happened before it is not about whom is saved after it (S15)",
)

segments = Table(
    "segments",
    metadata,
    key("organisation", Integer),
    key("segment", Integer, numbered=True),
    required("id", Text, "the platform's id"),
    optional("name", Text, "null: not saved yet"),
    optional("saved_at", MOMENT, "time of the event that described it; null: only mentioned so far"),
    UniqueConstraint("organisation", "id"),
    comment="groups of learners that courses and audiences are linked to; named before they are saved, or after",
)

membership_changes = Table(
    "membership_changes",
    metadata,
    key("organisation", Integer),
    key("segment", Integer),
    key("learner", Integer),
    key("occurred_at", MOMENT),
    required("member", Boolean, "joined, or left"),
    comment="every time a learner joined or left a segment; memberships has what holds (R6, S3)",
)

memberships = Table(
    "memberships",
    metadata,
    key("organisation", Integer),
    key("segment", Integer),
    key("learner", Integer),
    required("member", Boolean, "false: was a member, and left"),
    required("since", MOMENT, "time of the event that says so"),
    index("memberships_of_learner", "organisation", "learner"),
    comment="in which segments a learner is now, or was last",
)

searchable = Table(
    "searchable",
    metadata,
    key("organisation", Integer),
    key("learner", Integer),
    required("said", Text, "id, username, address and name, folded"),
    index("searchable_keys", "public.search_keys(organisation, learner >> 14, said)", postgresql_using="gin"),
    comment="what of a learner can be searched for, as far as it is indexed",
)

search_ends = Table(
    "search_ends",
    metadata,
    key("organisation", Integer),
    required("through", Integer, "the number of the last learner that is"),
    comment="how far the learners of an organisation are indexed for the search",
)

unsearchable = Table(
    "unsearchable",
    metadata,
    key("organisation", Integer),
    key("learner", Integer),
    key("change", BigInteger, numbered=True),
    comment="learners who were described anew and are not indexed again yet: a row for each time, so that none waits "
    "for another",
)
