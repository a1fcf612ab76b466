"""`rollcall mail`: what an operator sets up for mail to be trusted."""

from dataclasses import dataclass

import typer

from config.settings import load_settings
from tasks.mail.dkim import Signer
from workers.commands.common import Json, Refused, document, out

app = typer.Typer(help="Mail: what is to be set up for it.", no_args_is_help=True)

#: Characters of one string of a DNS record: RFC 1035 section 3.3.
LONGEST_STRING = 255


@app.callback()
def mail() -> None:
    """Mail: what is to be set up for it."""


@dataclass(frozen=True, slots=True)
class Record:
    """A record of the DNS."""

    name: str
    type: str
    value: str


@app.command()
def dkim(json_: Json = False) -> None:
    """Print the DNS record with the public half of DKIM_KEY, by which receivers check the signature of a mail."""
    settings = load_settings()
    if settings.dkim_key is None or settings.dkim_selector is None:
        raise Refused("DKIM_KEY is not set: mail is not signed.")
    signer = Signer(settings.dkim_key.get_secret_value(), settings.dkim_selector, settings.signing_domain)
    name, value = signer.record()
    if json_:
        document(Record(name, "TXT", value))
        return
    strings = [value[start : start + LONGEST_STRING] for start in range(0, len(value), LONGEST_STRING)]
    quoted = " ".join(f'"{string}"' for string in strings)
    out.print(f"{name}. IN TXT ( {quoted} )", markup=False)
