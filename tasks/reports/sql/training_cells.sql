-- The cells of the training report, of its rows r; lists in one cell.
SELECT spreadsheet_safe(organisation) AS organisation, spreadsheet_safe(learner) AS learner,
       spreadsheet_safe(username) AS username, spreadsheet_safe(email) AS email, learner_status,
       spreadsheet_safe(array_to_string(segments, ' ')) AS segments, spreadsheet_safe(course) AS course,
       spreadsheet_safe(title) AS title, cycle, spreadsheet_safe(array_to_string(sources, ' ')) AS sources,
       enrolled_at, silent, activated_at, notified_at, started_at, completed_at, spreadsheet_safe(result) AS result,
       withdrawn_at, access
FROM r
