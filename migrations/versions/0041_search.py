"""The search of learners: an index of all three letters in a row, which is written in the background.

What is indexed by a key of the index has the organisation and a block of 16,384 learners in it: a search goes block by
block in the order of the list, and so costs little whether few learners have a text or all of them have, and nothing
for the learners of a neighbour. Nothing is indexed here: the relay begins, and until it is done what it has not indexed
is read.
"""

from alembic import context, op
from sqlalchemy import text

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None

oldest = "0037"

#: What knows the small letters of every alphabet, best first; not every server has each.
_COLLATIONS = ("pg_c_utf8", "C.utf8", "C.UTF-8", "und-x-icu", "en_US.utf8", "C")

#: PostgreSQL has neither `unaccent` nor `pg_trgm` without an extension, which the embedded one has not.
FOLDED = r"""
CREATE FUNCTION folded(said text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN octet_length(said) = length(said) THEN lower(said COLLATE "C")
        ELSE replace(replace(replace(replace(
            translate(
                lower(regexp_replace(normalize(said, NFKD), '[\u0300-\u036f]', '', 'g') COLLATE "{collation}"),
                'øłđðħıŧς', 'olddhitσ'),
            'ß', 'ss'), 'æ', 'ae'), 'œ', 'oe'), 'þ', 'th') COLLATE "C"
    END
$$;
COMMENT ON FUNCTION folded IS 'a text as it is searched in and for: small letters without accents';
"""

TABLES = """
CREATE TABLE searchable (
    organisation int,
    learner int,
    said text NOT NULL,
    PRIMARY KEY (organisation, learner)
);
COMMENT ON TABLE searchable IS 'what of a learner can be searched for, as far as it is indexed';
COMMENT ON COLUMN searchable.said IS 'id, username, address and name, folded';
CREATE TABLE search_ends (
    organisation int PRIMARY KEY,
    through int NOT NULL
);
COMMENT ON TABLE search_ends IS 'how far the learners of an organisation are indexed for the search';
COMMENT ON COLUMN search_ends.through IS 'the number of the last learner that is';
CREATE TABLE unsearchable (
    organisation int,
    learner int,
    change bigint GENERATED ALWAYS AS IDENTITY,
    PRIMARY KEY (organisation, learner, change)
);
COMMENT ON TABLE unsearchable IS
    'learners who were described anew and are not indexed again yet: a row for each time, so that none waits for '
    'another';
ALTER TABLE searchable ALTER organisation SET (n_distinct = -0.001);
ALTER TABLE search_ends ALTER organisation SET (n_distinct = -0.001);
ALTER TABLE unsearchable ALTER organisation SET (n_distinct = -0.001);
"""

INDEXED = """
CREATE FUNCTION search_text(learner learners) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT folded(concat_ws(chr(10), learner.id, learner.username, learner.email,
                            nullif(concat_ws(' ', learner.first_name, learner.last_name), '')))
$$;
COMMENT ON FUNCTION search_text IS 'what of a learner can be searched for';

CREATE FUNCTION search_key(organisation int, block int, letters text) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT hashtextextended(letters COLLATE "C", (CAST(organisation AS bigint) << 32) + block)
$$;
COMMENT ON FUNCTION search_key IS 'a key of the index: some letters of some learner of a block of an organisation';

CREATE FUNCTION search_keys(organisation int, block int, said text) RETURNS bigint[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ARRAY(  -- as `search_key`, which a server that maintains an index does not find
        SELECT hashtextextended(letters COLLATE "C", (CAST(organisation AS bigint) << 32) + block)
        FROM (SELECT substr(said, i, 3) FROM generate_series(1, length(said) - 2) AS i
              UNION ALL
              SELECT substr(said, i, n) FROM generate_series(1, length(said)) AS i, generate_series(1, 2) AS n
              WHERE octet_length(said) > length(said) AND octet_length(substr(said, i, n)) > n) AS each (letters)
    )
$$;
COMMENT ON FUNCTION search_keys IS
    'the keys of a text: all three letters in a row, and one or two where they are of an alphabet with many';

CREATE INDEX searchable_keys ON searchable USING gin (search_keys(organisation, learner >> 14, said));

CREATE FUNCTION search_again() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM searchable WHERE organisation = NEW.organisation AND learner = NEW.learner;
    INSERT INTO unsearchable (organisation, learner) VALUES (NEW.organisation, NEW.learner);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION search_again IS
    'trigger: what a learner was called leaves the search at once, and who they are now is indexed later (S15)';
CREATE TRIGGER search_again AFTER UPDATE ON learners FOR EACH ROW
WHEN ((OLD.id, OLD.username, OLD.email, OLD.first_name, OLD.last_name)
      IS DISTINCT FROM (NEW.id, NEW.username, NEW.email, NEW.first_name, NEW.last_name))
EXECUTE FUNCTION search_again();
"""

#: Row security would keep the planner from the index, whose operator might tell what it is shown. So this is asked with
#: the rights of the owner of the tables, and whom it found is shown with those of the organisation's people (R31).
SEARCH = r"""
CREATE FUNCTION search_learners(
    of_organisation int, searched text, standings text[], of_segment int, behind int, most int, budget int,
    OUT matched int[], OUT reached int
) LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan  -- shown the keys, the planner leaves the index
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    words CONSTANT text[] := ARRAY(
        SELECT word FROM regexp_split_to_table(folded(searched), ' +') AS word WHERE word <> '');
    patterns CONSTANT text[] := ARRAY(
        SELECT '%' || regexp_replace(word, '([\\%_])', '\\\1', 'g') || '%' FROM unnest(words) AS word);
    letters text[] := ARRAY(
        SELECT substr(word, i, 3) FROM unnest(words) AS word, generate_series(1, length(word) - 2) AS i
        UNION
        SELECT word FROM unnest(words) AS word WHERE length(word) < 3 AND octet_length(word) > length(word));
    last CONSTANT int := (SELECT max(learner) FROM learners WHERE organisation = (SELECT of_organisation));
    through CONSTANT int := CASE WHEN letters = '{}' THEN 0 ELSE coalesce(
        (SELECT e.through FROM search_ends e WHERE e.organisation = of_organisation), 0) END;
    sample text[];
    members int[];
    keys bigint[];
    candidates int[];
    slice int[];
    upto int;
BEGIN
    matched := '{}';
    reached := behind;
    IF through > 0 THEN  -- the index is asked for the rarest only: where many have the others, they cost most
        sample := ARRAY(
            SELECT said FROM searchable
            WHERE organisation = (SELECT of_organisation)
              AND learner = ANY (ARRAY(SELECT generate_series(1, through, greatest(1, through / 256)))));
        letters := ARRAY(
            SELECT one FROM unnest(letters) AS one
            ORDER BY (SELECT count(*) FROM unnest(sample) AS said WHERE strpos(said, one) > 0), one LIMIT 4);
    END IF;
    IF of_segment IS NOT NULL THEN
        members := ARRAY(
            SELECT m.learner FROM memberships m
            WHERE m.organisation = (SELECT of_organisation) AND m.segment = (SELECT of_segment) AND m.learner > behind
            ORDER BY m.learner LIMIT least(budget, 4096));
    END IF;
    WHILE reached < last AND cardinality(matched) < most AND budget > 0 LOOP
        IF cardinality(members) < least(budget, 4096) THEN  -- these are all
            upto := last;
            candidates := members;
        ELSIF reached > behind AND reached < through THEN
            upto := least((((reached + 1) >> 14) + 1) << 14, through + 1) - 1;
            keys := ARRAY(SELECT search_key(of_organisation, (reached + 1) >> 14, one) FROM unnest(letters) AS one);
            candidates := ARRAY(
                SELECT s.learner FROM searchable s
                WHERE search_keys(s.organisation, s.learner >> 14, s.said) @> keys
                  AND s.organisation + 0 = of_organisation AND s.learner + 0 > reached AND s.learner + 0 <= upto
                UNION
                SELECT u.learner FROM unsearchable u
                WHERE u.organisation = (SELECT of_organisation) AND u.learner > reached AND u.learner <= upto
                ORDER BY 1);
        ELSE  -- what is not indexed; and first some that are, who fill a page if many have the words
            upto := least(reached + least(budget, 512), last);
            candidates := ARRAY(SELECT generate_series(reached + 1, upto));
        END IF;
        WHILE candidates <> '{}' AND cardinality(matched) < most AND budget > 0 LOOP
            slice := candidates[1:least(budget, 512)];
            candidates := candidates[cardinality(slice) + 1:];
            matched := matched || ARRAY(
                SELECT l.learner FROM learners l
                WHERE l.organisation = (SELECT of_organisation) AND l.learner = ANY (slice)
                  AND CAST(l.standing AS text) = ANY (standings) AND search_text(l) LIKE ALL (patterns)
                  AND (of_segment IS NULL OR EXISTS (
                      SELECT FROM memberships m
                      WHERE m.organisation = l.organisation AND m.segment = (SELECT of_segment)
                        AND m.learner = l.learner AND m.member))
                ORDER BY l.learner);
            budget := budget - cardinality(slice);
            reached := slice[cardinality(slice)];
        END LOOP;
        IF candidates = '{}' THEN
            reached := upto;
        END IF;
    END LOOP;
    IF cardinality(matched) >= most THEN
        matched := matched[1:most];
        reached := matched[most];
    END IF;
    IF reached >= last OR last IS NULL THEN
        reached := NULL;
    END IF;
END
$$;
COMMENT ON FUNCTION search_learners IS
    'the first learners behind a number whom all words are said of, and how far it has looked: null if to the end';
"""


def upgrade() -> None:
    known = set(_COLLATIONS)
    if not context.is_offline_mode():
        known = set(op.get_bind().scalars(text("SELECT collname FROM pg_collation WHERE collencoding IN (-1, 6)")))
    collation = next(each for each in _COLLATIONS if each in known)
    op.execute(FOLDED.replace("{collation}", collation) + TABLES + INDEXED + SEARCH)


def downgrade() -> None:
    op.execute(
        """
        DROP TRIGGER search_again ON learners;
        DROP FUNCTION search_learners, search_again, search_text;
        DROP TABLE searchable, search_ends, unsearchable;
        DROP FUNCTION search_keys, search_key, folded
        """
    )
