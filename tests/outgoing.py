"""What goes out is what its type says: every field, no other."""

import re
from typing import Any

import msgspec

from tasks.events.outgoing import TYPES_OUT, Document

_ONE_FORM = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")

_document = msgspec.json.Decoder(
    msgspec.defstruct("Document", [], bases=(Document,), frozen=True, kw_only=True, forbid_unknown_fields=True)
)
_data = {
    name: msgspec.defstruct(kind.__name__, [], bases=(kind,), frozen=True, kw_only=True, forbid_unknown_fields=True)
    for name, kind in TYPES_OUT.items()
}


def checked(document: bytes) -> dict[str, Any]:
    """A published event, once it is known to be one of the contract's."""
    read: Any = _document.decode(document)
    assert read.type in TYPES_OUT, f"{read.type} is not among the types of events out"
    try:
        msgspec.convert(read.data, _data[read.type])
    except msgspec.ValidationError as problem:
        raise AssertionError(f"{read.type} is not what its type says: {problem}, in {read.data}") from None
    found: dict[str, Any] = msgspec.json.decode(document)
    assert [one for one in _times(found, TYPES_OUT[read.type]) if not _ONE_FORM.fullmatch(one)] == []
    return found


def _times(found: dict[str, Any], data: type[msgspec.Struct]) -> list[str]:
    """The times of an event: not what is quoted of others, which may look like one."""
    named = {field.encode_name for field in msgspec.structs.fields(data) if "datetime" in str(field.type)}
    return [found["time"], *(text for name, text in found["data"].items() if name in named and text is not None)]
