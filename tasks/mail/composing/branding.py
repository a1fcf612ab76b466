"""How an organisation's mail looks: its name, logo and colour, and what can be read on that colour."""

from dataclasses import dataclass

#: The colour of who has chosen none.
NEUTRAL = "#334155"
#: The colour of links where the organisation's own is too pale to be read.
LINK = "#1d4ed8"
#: The least contrast at which text can be read: WCAG 2.2, 1.4.3.
READABLE = 4.5

WHITE, BLACK = "#ffffff", "#000000"


@dataclass(frozen=True, slots=True)
class Branding:
    """What is the organisation's own about its mail. `logo` is an https URL, `colour` is `#rrggbb`."""

    name: str
    logo: str | None = None
    colour: str | None = None

    @property
    def band(self) -> str:
        """The colour at the head of a mail."""
        return (self.colour or NEUTRAL).lower()

    @property
    def ink(self) -> str:
        """Black or white, whichever is read better on the band."""
        return max(WHITE, BLACK, key=lambda ink: contrast(ink, self.band))

    @property
    def link(self) -> str:
        """The colour of links on white."""
        return self.band if contrast(self.band, WHITE) >= READABLE else LINK


def contrast(one: str, other: str) -> float:
    """The contrast of two colours, from 1 to 21 (WCAG 2.2)."""
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    """The relative luminance of `#rrggbb`, from 0 to 1 (WCAG 2.2)."""
    red, green, blue = (
        channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
        for channel in (octet / 255 for octet in bytes.fromhex(colour[1:]))
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
