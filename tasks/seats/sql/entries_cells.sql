-- The cells of the entries r, as they are written.
SELECT id, spreadsheet_safe(organisation) AS organisation, spreadsheet_safe(learner) AS learner,
       spreadsheet_safe(course) AS course, cycle, unit, amount, occurred_at, spreadsheet_safe(event) AS event,
       overdrawn, review
FROM r
