"""What the console says, in each of its languages: finds new messages, and keeps what is translated.

`python -m workers.catalogues` writes the catalogues. A message without a translation is left empty, and fails a test.
"""

from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from config.phrases import PHRASES
from workers.web.console.languages import CATALOGUES, LANGUAGES

CONSOLE = CATALOGUES.parent

#: What is looked through, and how messages are written there.
METHODS = [("**.py", "python"), ("templates/**.j2", "jinja2")]

#: How each language counts: as gettext has always had it, and not as Babel does, which gives a million in French a form
#: of its own.
PLURALS = {"nl": "nplurals=2; plural=(n != 1);", "fr": "nplurals=2; plural=(n > 1);"}

HEADER = 'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=utf-8\\n"\n"Plural-Forms: {plurals}\\n"\n\n'


def messages() -> Catalog:
    """All that the console says, in English."""
    found = Catalog(project="Rollcall", charset="utf-8")
    options = {"templates/**.j2": {"trimmed": "true", "trim_blocks": "true", "lstrip_blocks": "true"}}
    keywords = {"_": None, "gettext": None, "ngettext": (1, 2)}
    for name, _, message, _, _ in extract_from_dir(str(CONSOLE), METHODS, options, keywords, strip_comment_tags=False):
        found.add(message, locations=[(name, 0)])
    for phrase in PHRASES:
        found.add(phrase.says, locations=[("phrases", 0)])
    return found


def path_of(language: str) -> Path:
    """Where a catalogue is."""
    return CATALOGUES / language / "LC_MESSAGES" / "console.po"


def updated(language: str) -> bytes:
    """A catalogue as it is, with what is new, and without what is said no more."""
    header, path = HEADER.format(plurals=PLURALS[language]).encode(), path_of(language)
    known = path.read_bytes() if path.exists() else header
    catalogue = read_po(BytesIO(known), locale=language)
    catalogue.update(messages(), no_fuzzy_matching=True, update_creation_date=False)
    catalogue.obsolete.clear()
    written = BytesIO()
    write_po(written, catalogue, width=110, sort_output=True, omit_header=True, no_location=True)
    return header + written.getvalue()


def main() -> None:
    """Write the catalogues."""
    for language in LANGUAGES:
        if language != "en":
            path_of(language).parent.mkdir(parents=True, exist_ok=True)
            path_of(language).write_bytes(updated(language))


if __name__ == "__main__":
    main()
