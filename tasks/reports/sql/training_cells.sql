-- The cells of the training report, of its rows r; lists in one cell.
SELECT spreadsheet_safe(organisation) AS organisation, spreadsheet_safe(learner) AS learner,
       spreadsheet_safe(username) AS username, spreadsheet_safe(email) AS email, learner_status,
       spreadsheet_safe(array_to_string(segments, ' ')) AS segments, spreadsheet_safe(course) AS course,
       spreadsheet_safe(title) AS title, cycle, spreadsheet_safe(array_to_string(sources, ' ')) AS sources,
       rfc3339(enrolled_at) AS enrolled_at, silent, rfc3339(activated_at) AS activated_at,
       rfc3339(notified_at) AS notified_at, rfc3339(started_at) AS started_at,
       rfc3339(completed_at) AS completed_at, spreadsheet_safe(result) AS result,
       rfc3339(withdrawn_at) AS withdrawn_at, access
FROM r
