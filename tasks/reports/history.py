"""The history of status: one row for each change of each learner (R30)."""

from config.sql import query
from tasks.reports.export import Report

HISTORY = Report(query("reports.history"), query("reports.history_cells"))
