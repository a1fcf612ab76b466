"""Sentences that people meet through more than one door. What refuses something says one in plain words. Whoever shows
it knows it again: a page says it in its reader's language, and the command line in its own terms.

It is known by its words alone, so that it may have been kept in a table, or come from a server far away.
"""

import re
from dataclasses import dataclass
from functools import cache

_PLACE = re.compile(r"{(\w+)}")

#: Places in which only a number stands.
_DIGITS = {"line": r"\d+"}


@dataclass(frozen=True)
class Phrase:
    """A sentence with `{places}`, and how the command line says it, if it names options there."""

    says: str
    typed: str = ""

    def __call__(self, **places: object) -> str:
        """The sentence with its places filled."""
        return self.says.format(**places)

    def read(self, text: str) -> dict[str, str] | None:
        """What stands in the places of a text; None if it is another sentence."""
        found = _pattern(self.says).fullmatch(text)
        return None if found is None else found.groupdict()


@cache
def _pattern(says: str) -> re.Pattern[str]:
    parts = _PLACE.split(says.replace("{{", "\0").replace("}}", "\1"))
    literal = [re.escape(part.replace("\0", "{").replace("\1", "}")) for part in parts[::2]]
    places = [rf"(?P<{name}>{_DIGITS.get(name, '.+')})" for name in parts[1::2]] + [""]
    return re.compile("".join(part for pair in zip(literal, places, strict=True) for part in pair), re.DOTALL)


def known(text: str) -> tuple[Phrase, dict[str, str]] | None:
    """The phrase that a text is, and what stands in its places."""
    return next(((one, found) for one in PHRASES if (found := one.read(text)) is not None), None)


def typed(text: str) -> str:
    """A text as the command line says it."""
    found = known(text)
    return found[0].typed.format(**found[1]) if found and found[0].typed else text


NO_LEARNER = Phrase("There is no learner {learner} in the organisation {organisation}.")
NO_LEARNER_HERE = Phrase("there is no learner {learner} in this organisation")
NO_COURSE = Phrase("There is no course {course} in the organisation {organisation}.")
NO_SEGMENT = Phrase("There is no segment {segment} in the organisation {organisation}.")
LEARNER_AHEAD = Phrase("A change dated in the future keeps {learners} from being {status}.")
NOT_APPLIED = Phrase(
    "It could not be applied: the events that were not taken say why.",
    "It could not be applied: rollcall events quarantined says why.",
)
REQUEST_NOT_APPLIED = Phrase(
    "The request could not be applied: the events that were not taken say why.",
    "The request could not be applied: rollcall events quarantined says why.",
)

# Announcements: their words.
LINE = Phrase("Line {line}")
SUBJECT = Phrase("Subject")
_FIELDS = 'Write {{{{ field }}}} or {{{{ field | default: "text" }}}} with one of: {fields}.'
STRAY_FIELD = Phrase(f"{{where}}: {{stray}} is not a merge field. {_FIELDS}")
OPEN_BRACES = Phrase(f"{{where}}: {{{{{{{{ is never closed by }}}}}}}}. {_FIELDS}")
STRAY_BRACES = Phrase(f"{{where}}: }}}}}}}} closes nothing. {_FIELDS}")
LONG_DEFAULT = Phrase("{where}: the default of {field} has more than {most} characters.")
NO_SUBJECT = Phrase("The subject is empty.")
ONE_LINE = Phrase("The subject must be one line, without line breaks or control characters.")
LONG_SUBJECT = Phrase("The subject has {characters} characters; it may have {most}.")
NO_BODY = Phrase("The body is empty.")
LARGE_BODY = Phrase("The body is {bytes} bytes large; it may be {most}. Link to what is long.")

# Announcements: their time, their audience, their launch.
PASSED = Phrase(
    "{when} has passed: choose a time that lies ahead.",
    "{when} has passed: leave --send-at out to send it when you launch it.",
)
NO_TIME = Phrase("{said} is not a time like 2026-12-01T09:00")
NO_ZONE = Phrase("There is no time zone {zone}; write an IANA name, such as Europe/Amsterdam.")
TIME_TWICE = Phrase(
    "{clock} happens twice in {zone}, where clocks go back: write {first} for the first time or {second} for the"
    " second."
)
TIME_SKIPPED = Phrase("{clock} does not exist in {zone}, where clocks go forward: write {next}, or another time.")
MANY_NAMED = Phrase("{named} learners are named; make a segment of more than {most}.")
LATE = Phrase(
    "Its time, {when}, has passed: launch it now all the same, or give it another.",
    "Its time, {when}, has passed: --now sends it all the same, edit gives it another.",
)
NOT_LAUNCHED = Phrase(
    "Nothing was launched. {why}", "It was not launched. {why} Or say --no-check to launch it all the same."
)

# Files of learners.
NOT_CSV = Phrase("This is not a CSV file: save the table as CSV (UTF-8) and import that.")
EXCEL = Phrase(
    "It is an Excel workbook or another ZIP archive, not a CSV file: save the table as CSV (UTF-8) and import that."
)
OLD_EXCEL = Phrase("It is an old Excel workbook, not a CSV file: save the table as CSV (UTF-8) and import that.")
PDF = Phrase("It is a PDF, not a CSV file: save the table as CSV (UTF-8) and import that.")
COMPRESSED = Phrase("It is compressed, not a CSV file: save the table as CSV (UTF-8) and import that.")
EMPTY_FILE = Phrase("The file is empty.")
BAD_HEADER = Phrase("The header cannot be read: {problem}. Is this a CSV file?")
OTHER_HEADER = Phrase("Line {line} is a header with other columns: import what is below it as another file.")
OTHER_ENCODING = Phrase(
    "The file is not written in {encoding}: choose the encoding that it is in.",
    "The file is not written in {encoding}: say with --encoding what it is.",
)
NONE_KNOWN = Phrase("{columns}, of which none has a name that we know")
AND_OTHERS = Phrase("{columns} and others")
NO_COLUMN = Phrase("There is no column {column}; the columns are {columns}.")
SAME_COLUMNS = Phrase("{number} columns are called {column}: rename all but one of them.")
SEVERAL_COLUMNS = Phrase(
    "{several} could each be the column {field}: say which, or rename one of them.",
    "{several} could each be the column {field}: say which with --map '{field}=COLUMN', or rename one of them.",
)
NO_ID_COLUMN = Phrase(
    "There is no column for the learner's id; the columns are {columns}. Say which it is.",
    "There is no column for the learner's id; the columns are {columns}. Say which it is with --map 'learner=COLUMN'.",
)
NO_NAME_COLUMN = Phrase(
    "There is no column for the username and none for the e-mail; the columns are {columns}. Say which it is.",
    "There is no column for the username and none for the e-mail; the columns are {columns}."
    " Say which it is with --map 'username=COLUMN' or 'email=COLUMN'.",
)
NO_STATUS_COLUMN = Phrase(
    "No column says who is inactive; the columns are {columns}. Say which does, or say it for all.",
    "No column says who is inactive; the columns are {columns}. Say which does with --map"
    " 'status=COLUMN', or --status active or inactive for all, or --status keep to leave it as it is.",
)
UNUSED_COLUMN = Phrase(
    "The column '{column}' has {cell} on line {line} and is not used: say that it says who is inactive, or that it is"
    " to be ignored.",
    "The column '{column}' has {cell} on line {line} and is not used: say"
    " --map 'status={column}' if it says who is inactive, or --ignore '{column}' if it does not.",
)
MANY_TOLD = Phrase(
    "{learners} would be told by mail of their courses: say that they are to be, or that they are not.",
    "{learners} would be told by mail of their courses. Say --yes if they are to be, or --no-notices.",
)
NO_ENCODING = Phrase("there is no encoding {encoding}")
BAD_DELIMITER = Phrase("A delimiter is one character, or tab.", "--delimiter is one character, or tab")
BAD_MAP = Phrase(
    "{pair}: write FIELD=COLUMN, FIELD one of {fields}", "--map {pair}: it reads FIELD=COLUMN, FIELD one of {fields}"
)
BAD_MAP_STATUS = Phrase(
    "{pair}: write STATUS=active or STATUS=inactive",
    "--map-status {pair}: it reads STATUS=active or STATUS=inactive",
)
ALWAYS_INACTIVE = Phrase("{status} always means inactive.", "--map-status: {status} always means inactive")

# Webhooks.
WEBHOOK_EXISTS = Phrase(
    "There is a webhook {id} already: name another, or remove it first.",
    "There is a webhook {id} already: name another --id, or remove it first.",
)
THREE_KEYS = Phrase(
    "The key before is valid until {until} UTC, and there cannot be three: wait, or end both at once.",
    "The key before is valid until {until} UTC, and there cannot be three: wait, or end both with --now.",
)
OTHER_SECRET_KEY = Phrase(
    "The key of {id} was made under another SECRET_KEY: set that one besides, or replace the key at once.",
    "The key of {id} was made under another SECRET_KEY: set that one besides, or rotate --now.",
)
SEVERAL_EVENTS = Phrase(
    "{number} events are called {id}: say of which organisation, or source",
    "{number} events are called {id}: say of which --organisation, or --source",
)

#: All of them; one that says more comes before one that would fit the same text.
PHRASES = sorted(
    (one for one in tuple(globals().values()) if isinstance(one, Phrase)),
    key=lambda one: -len(_PLACE.sub("", one.says)),
)
