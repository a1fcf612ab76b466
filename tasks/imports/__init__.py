"""Learners from a previous LMS: a file of them, read as people have it, and taken as events would be (R2)."""

from typing import TYPE_CHECKING

from config.lazily import lazily

if TYPE_CHECKING:
    from tasks.imports.actors import drop, run
    from tasks.imports.cells import safe
    from tasks.imports.intake import Imported, ImportOptions, import_file
    from tasks.imports.reader import Layout, LineBatch, batches, first_cells, layout_of
    from tasks.imports.requests import (
        UNASKED,
        BadOption,
        ImportRequest,
        StatusOfAll,
        check_options,
        delimiter_of,
        reading_options,
    )
    from tasks.imports.rules import Field, NotReadable, ReadingOptions
else:
    __getattr__ = lazily(__name__)
