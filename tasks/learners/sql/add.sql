-- Add learners whom nothing has named yet, as events describe them first (R6).
INSERT INTO learners (organisation, learner, id, standing, version, saved_version, saved_at, username, email,
                      first_name, last_name, locale, time_zone)
SELECT :organisation, new.learner, new.id, CAST(new.standing AS standing), new.version, new.version, new.time,
       new.username, nullif(new.email, ''), new.first_name, new.last_name, new.locale, new.time_zone
FROM unnest(CAST(:learners AS int[]), CAST(:ids AS text[]), CAST(:standings AS text[]), CAST(:versions AS bigint[]),
            CAST(:times AS timestamptz[]), CAST(:usernames AS text[]), CAST(:emails AS text[]),
            CAST(:first_names AS text[]), CAST(:last_names AS text[]), CAST(:locales AS text[]),
            CAST(:time_zones AS text[]))
     AS new (learner, id, standing, version, time, username, email, first_name, last_name, locale, time_zone)
