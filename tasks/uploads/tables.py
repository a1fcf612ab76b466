"""Files that came through the API."""

from sqlalchemy import BigInteger, ForeignKeyConstraint, Integer, LargeBinary, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from config.tables import MOMENT, key, metadata, optional, required

uploads = Table(
    "uploads",
    metadata,
    key("organisation", Integer),
    key("upload", BigInteger, "counted through all organisations", numbered=True),
    required(
        "state", Text, "failed: nothing was taken", default="'running'", check="state IN ('running', 'done', 'failed')"
    ),
    required("asked", JSONB, "how the file is to be read"),
    required("done", Integer, "how much of the work is done", default="0"),
    required("total", Integer, "how much there is; 0: nobody knows yet", default="0"),
    optional("result", JSONB, "null: there is none"),
    optional("problem", Text, "why it failed; null: it did not"),
    required("at", MOMENT, "when it came; a month later it is forgotten", default="now()"),
    comment="files that came through the API, and what became of them",
)

upload_blocks = Table(
    "upload_blocks",
    metadata,
    key("organisation", Integer),
    key("upload", BigInteger, "of uploads"),
    key("part", Text, "the file as it came, or the lines of it that were refused", check="part IN ('file', 'refused')"),
    key("number", Integer, "in the order of the file"),
    required("block", LargeBinary, "of the file until it is read, or of the lines of it that were refused"),
    ForeignKeyConstraint(["organisation", "upload"], ["uploads.organisation", "uploads.upload"], ondelete="CASCADE"),
    comment="the bytes of what came, and of what of it was refused",
)
