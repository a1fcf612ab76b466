-- Count one more try for each of these keys; seconds to wait if there were too many, else 0.
WITH counted AS (
    INSERT INTO sign_in_tries AS t (key, tries, until)
    SELECT key, 1, now() + make_interval(secs => :window)
    FROM unnest(CAST(:keys AS bytea[])) AS tried (key) ORDER BY key
    ON CONFLICT (key) DO UPDATE
    SET tries = CASE WHEN t.until < now() THEN 1 ELSE t.tries + 1 END,
        until = CASE WHEN t.until < now() THEN excluded.until ELSE t.until END
    RETURNING key, tries, until
)
SELECT coalesce(max(ceil(extract(epoch FROM until - now()))), 0)
FROM counted WHERE tries > CASE key WHEN :account THEN CAST(:most_of_account AS int) ELSE :most END
