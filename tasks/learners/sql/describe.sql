-- Write what events say of learners; the caller has checked that it is the newest.
UPDATE learners SET username = new.username, email = nullif(new.email, ''), first_name = new.first_name,
    last_name = new.last_name, locale = new.locale, time_zone = new.time_zone,
    saved_version = new.version, saved_at = new.time, version = greatest(learners.version, new.version)
FROM (SELECT CAST(:organisation AS int) AS organisation, unnest(CAST(:learners AS int[])) AS learner,
             unnest(CAST(:versions AS bigint[])) AS version, unnest(CAST(:times AS timestamptz[])) AS time,
             unnest(CAST(:usernames AS text[])) AS username, unnest(CAST(:emails AS text[])) AS email,
             unnest(CAST(:first_names AS text[])) AS first_name,
             unnest(CAST(:last_names AS text[])) AS last_name,
             unnest(CAST(:locales AS text[])) AS locale, unnest(CAST(:time_zones AS text[])) AS time_zone) new
WHERE learners.organisation = new.organisation AND learners.learner = new.learner
  AND ((learners.saved_version, learners.saved_at) IS DISTINCT FROM (new.version, new.time)
       OR CAST(json_build_array(new.username, nullif(new.email, ''), new.first_name, new.last_name, new.locale,
                                new.time_zone) AS text) COLLATE "C"
          > CAST(json_build_array(learners.username, learners.email, learners.first_name, learners.last_name,
                                  learners.locale, learners.time_zone) AS text) COLLATE "C")
