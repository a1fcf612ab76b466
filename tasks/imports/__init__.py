"""Learners from a previous LMS: a file of them, read as people have it, and taken as events would be (R2)."""

from tasks.imports.intake import Imported, take
from tasks.imports.reader import Batch, Layout, batches, first_cells, layout_of
from tasks.imports.rules import Field, NotReadable, field_named

__all__ = [
    "Batch",
    "Field",
    "Imported",
    "Layout",
    "NotReadable",
    "batches",
    "field_named",
    "first_cells",
    "layout_of",
    "take",
]
