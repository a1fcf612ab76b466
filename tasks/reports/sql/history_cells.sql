-- The cells of the history of status, of its rows r.
SELECT spreadsheet_safe(organisation) AS organisation, spreadsheet_safe(learner) AS learner, learner_status,
       occurred_at, status, spreadsheet_safe(cause) AS cause
FROM r
