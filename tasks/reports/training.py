"""The training report: one row for each enrolment (R29, R30). Its columns are in the contract's order."""

from config.sql import query
from tasks.reports.export import Report

TRAINING = Report(query("reports.training"), query("reports.training_cells"))
