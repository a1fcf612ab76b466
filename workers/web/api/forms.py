"""A file that is sent with what is asked about it: a form of parts (RFC 7578), kept on disk while it is read."""

import hashlib
from functools import partial
from typing import IO, Any

import anyio
from anyio import to_thread
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from config.errors import BadField, Invalid
from workers.web.api import reading
from workers.web.api.problems import RefusedCall

#: The field that is a file.
FILE = "file"

#: Octets of a form at most, and seconds in which it has to come.
LONGEST_FORM, FORM_SECONDS = 1_000_000_000, 600.0


def has_file(known: dict[str, reading.ActField]) -> bool:
    """Whether an act takes a file."""
    return FILE in known and known[FILE].hint == IO[bytes]


async def read(
    request: Request, kind: Any, known: dict[str, reading.ActField], path: dict[str, str]
) -> tuple[Any, bytes]:
    """What is asked, with its file, which is there until the request is closed; and a hash of all of it."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise RefusedCall(415, "The body is to be multipart/form-data.")
    length = request.headers.get("content-length", "")
    if not length.isdecimal() or int(length) > LONGEST_FORM:
        raise RefusedCall(413, f"The form is to have a Content-Length of at most {LONGEST_FORM:,} octets.")
    try:
        with anyio.fail_after(FORM_SECONDS):
            form = await request.form(max_files=1, max_fields=reading.MOST_FIELDS)
    except TimeoutError:
        raise RefusedCall(408, "The form took too long to come.") from None
    except HTTPException:
        raise RefusedCall(400, "The form cannot be read.") from None
    file = form.get(FILE)
    if not isinstance(file, UploadFile):
        raise Invalid("What was sent cannot be taken: see errors.", [BadField(f"/{FILE}", "It is missing.")])
    fields = {name: field for name, field in known.items() if name != FILE}
    texts = [(name, value) for name, value in form.multi_items() if isinstance(value, str)]
    asked = reading.read(partial(kind, file=file.file), fields, path, reading.in_pairs(texts, fields), strict=False)
    hashed = await to_thread.run_sync(_hash, file.file, repr(texts).encode())
    return asked, hashed


def _hash(file: Any, texts: bytes) -> bytes:
    hashed = hashlib.sha256(texts)
    while block := file.read(1 << 20):
        hashed.update(block)
    file.seek(0)
    return hashed.digest()
