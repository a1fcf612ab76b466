-- The same as cells of a spreadsheet.
SELECT at, spreadsheet_safe(organisation) AS organisation, spreadsheet_safe(who) AS who, door,
       spreadsheet_safe(address) AS address, act, spreadsheet_safe(subject) AS subject,
       spreadsheet_safe(CAST(before AS text)) AS before, spreadsheet_safe(CAST(after AS text)) AS after, outcome
FROM r
