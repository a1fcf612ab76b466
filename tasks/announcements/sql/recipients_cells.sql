-- The cells of the recipients r; the attempts in one cell, one after the other.
SELECT spreadsheet_safe(learner) AS learner, spreadsheet_safe(first_name) AS first_name,
       spreadsheet_safe(last_name) AS last_name, spreadsheet_safe(username) AS username,
       spreadsheet_safe(address) AS address, state, reason, code,
       spreadsheet_safe(reply) AS reply, settled_at, next_try_at,
       (SELECT spreadsheet_safe(string_agg(concat_ws(
           ' ', one ->> 'at', one ->> 'answer', one ->> 'code', one ->> 'reply'), ' / ' ORDER BY place))
        FROM jsonb_array_elements(attempts) WITH ORDINALITY AS each (one, place)) AS attempts,
       bounced, bounced_at, bounce_status
FROM r
