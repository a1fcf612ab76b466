"""Where organisations live that live elsewhere."""

from sqlalchemy import Integer, Table, Text, UniqueConstraint, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from config.tables import MOMENT, index, key, metadata, optional, required

#: The SQL functions of this capability, and what each is for.
FUNCTIONS = {
    "forgets": "whether an organisation lives elsewhere, so that what is left here of it may be deleted",
    "reserve_organisations": "locks ids under which no organisation was found; those that have left this cell",
}

cells = Table(
    "cells",
    metadata,
    key("name", Text, "as ROLLCALL_CELLS has it; home: this one"),
    required("number", Integer, "from which its numbers of organisations, courses and segments are made"),
    required("epoch", Integer, "from which its other numbers are made: a higher one, when older rows have higher ones"),
    required("installation", Uuid, "of its mail_control: which database it is, wherever that is"),
    required("added_at", MOMENT, default="now()"),
    UniqueConstraint("number"),
    UniqueConstraint("epoch"),
    UniqueConstraint("installation"),
    comment="the cells of an installation, at home; empty: there is none but this",
)

directory = Table(
    "directory",
    metadata,
    key("id", Text, "the platform's id of an organisation"),
    optional("number", Integer, "of the organisation; null: it is not saved yet"),
    required("cell", Text, "where it lives"),
    optional("moves_to", Text, "where it is on its way to; null: it is not"),
    required("since", MOMENT, default="now()"),
    index("directory_numbers", "number"),
    comment="in which cell an organisation lives, at home: those without a row live there",
)

departed = Table(
    "departed",
    metadata,
    key("id", Text, "the platform's id of an organisation"),
    optional("number", Integer, "of the organisation; null: it was not saved here"),
    optional("described", JSONB, "its row of organisations; null: there was none"),
    optional("cell", Text, "where it lives now; null: it is on its way, and nobody knows whether it arrives"),
    required("since", MOMENT, default="now()"),
    index("departed_numbers", "number"),
    comment="organisations that have left this cell, or are leaving it: whoever comes too late is told so",
)
