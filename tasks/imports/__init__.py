"""Learners from a previous LMS: a file of them, read as people have it, and taken as events would be (R2)."""

from typing import TYPE_CHECKING

from config.lazily import lazily

if TYPE_CHECKING:
    from tasks.imports.intake import Imported, ImportOptions, import_file
    from tasks.imports.reader import Layout, LineBatch, batches, first_cells, layout_of
    from tasks.imports.rules import Field, NotReadable, ReadingOptions, field_named
    from tasks.imports.statuses import GIVEN, Says, says_of, status_word
else:
    __getattr__ = lazily(__name__)
