"""A file that a form sends: a form of parts (RFC 7578), kept on disk while it is read."""

from dataclasses import dataclass
from typing import IO

import anyio
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from workers.web.bodies import NotRead

#: Octets of a form with a file at most, and seconds in which it has to come.
LONGEST, SECONDS = 100_000_000, 300.0

#: Fields besides the file, at most.
MOST_FIELDS = 20

#: Files of one person that come at once, and of everybody in one process.
OF_ONE, MOST = 2, 8


@dataclass(frozen=True, slots=True)
class SentFile:
    """A file as it came, there until the request is closed; `name` is what its owner calls it, or nothing."""

    name: str
    content: IO[bytes]


async def read(request: Request) -> tuple[list[tuple[str, str]], SentFile | None]:
    """The fields of a form, and its file. Raises `NotRead`."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise NotRead(415, "The form is to have a file in it.")
    length = request.headers.get("content-length", "")
    if not length.isdecimal() or int(length) > LONGEST:
        raise NotRead(413, f"The file is larger than {LONGEST // 1_000_000} MB: import it in parts, or by the command.")
    try:
        with anyio.fail_after(SECONDS):
            form = await request.form(max_files=1, max_fields=MOST_FIELDS)
    except TimeoutError:
        raise NotRead(408, f"The file took longer than {SECONDS:g} seconds.", Connection="close") from None
    except HTTPException:
        raise NotRead(400, "The form cannot be read.") from None
    file = next((value for _, value in form.multi_items() if isinstance(value, UploadFile)), None)
    texts = [(name, value) for name, value in form.multi_items() if isinstance(value, str) and "\0" not in value]
    name = "".join(letter for letter in (file and file.filename) or "" if letter.isprintable())
    return texts, None if file is None else SentFile(name, file.file)
