"""What an event waits for is kept in columns that can be joined on, no longer in a text that is put together."""

from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

TYPED = """
ALTER TABLE inbox ADD awaits text, ADD awaits_organisation int, ADD awaits_id text, ADD awaits_course int,
    ADD awaits_cycle int, ADD awaits_learner int;
COMMENT ON COLUMN inbox.awaits IS 'what is waited for: an organisation, learner, course, segment, enrolment, status or'
    ' turn; the columns that follow say which, an organisation that nobody knows by its id and the number 0';
UPDATE inbox SET awaits = split_part(waits_for, ':', 1),
    awaits_organisation = CASE WHEN waits_for LIKE 'organisation:%' THEN 0
                               ELSE CAST(split_part(waits_for, ':', 2) AS int) END,
    awaits_id = CASE WHEN waits_for LIKE 'organisation:%' THEN substr(waits_for, length('organisation:') + 1)
                     WHEN split_part(waits_for, ':', 1) IN ('learner', 'course', 'segment')
                     THEN regexp_replace(waits_for, '^[^:]*:[^:]*:', '') END,
    awaits_course = CASE WHEN waits_for LIKE 'enrolment:%' THEN CAST(split_part(waits_for, ':', 3) AS int) END,
    awaits_cycle = CASE WHEN waits_for LIKE 'enrolment:%' THEN CAST(split_part(waits_for, ':', 4) AS int) END,
    awaits_learner = CASE WHEN waits_for LIKE 'enrolment:%' THEN CAST(split_part(waits_for, ':', 5) AS int)
                          WHEN waits_for LIKE 'status:%' THEN CAST(split_part(waits_for, ':', 3) AS int) END
WHERE waits_for IS NOT NULL;
DROP INDEX inbox_waits_for, inbox_turn;
ALTER TABLE inbox DROP waits_for;
CREATE INDEX inbox_awaits_id ON inbox (awaits_organisation, awaits, awaits_id) WHERE awaits_id IS NOT NULL;
CREATE INDEX inbox_awaits_learner ON inbox (awaits_organisation, awaits, awaits_course, awaits_learner)
    WHERE awaits_learner IS NOT NULL;
CREATE INDEX inbox_turn ON inbox (awaits_organisation, seq) WHERE awaits = 'turn';
"""

TEXT = """
ALTER TABLE inbox ADD waits_for text;
UPDATE inbox SET waits_for = CASE awaits
    WHEN 'organisation' THEN 'organisation:' || awaits_id
    WHEN 'enrolment' THEN concat_ws(':', awaits, awaits_organisation, awaits_course, awaits_cycle, awaits_learner)
    WHEN 'status' THEN concat_ws(':', awaits, awaits_organisation, awaits_learner)
    ELSE concat_ws(':', awaits, awaits_organisation, coalesce(awaits_id, '')) END
WHERE awaits IS NOT NULL;
DROP INDEX inbox_awaits_id, inbox_awaits_learner, inbox_turn;
ALTER TABLE inbox DROP awaits, DROP awaits_organisation, DROP awaits_id, DROP awaits_course, DROP awaits_cycle,
    DROP awaits_learner;
CREATE INDEX inbox_waits_for ON inbox (waits_for text_pattern_ops) WHERE waits_for IS NOT NULL;
CREATE INDEX inbox_turn ON inbox (waits_for, seq) WHERE reason = 'its turn';
"""


def upgrade() -> None:
    op.execute(TYPED)


def downgrade() -> None:
    op.execute(TEXT)
