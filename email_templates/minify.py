"""What MJML makes, without what no mail of ours needs: for every recipient it is encoded, kept and sent.

Only the frame is looked at, before any contents take their place in it, and no text that somebody reads is touched.
"""

import re

#: What is left out or said shorter.
_NEEDLESS = [
    (re.compile(pattern, re.DOTALL), instead)
    for pattern, instead in (
        (r"<!--\[if !mso\]><!--><meta [^>]*><!--<!\[endif\]-->", ""),  # the mode of an Internet Explorer
        (r"<!--\[if lte mso 11\]>.*?<!\[endif\]-->\s*", ""),  # Outlook before 2007
        (r"<style[^>]*>[^<]*\.mj-column-per-100 [^<]*</style>", ""),  # our one column fills the sheet anyway
        (r' class="mj-outlook-group-fix mj-column-per-100"', ""),
        (r"#outlook a *\{[^}]*\}", ""),  # a bar that Outlook.com showed until 2013
        (r'<meta http-equiv="Content-Type" content="text/html; charset=UTF-8">', '<meta charset="utf-8">'),
        (r"</style>\s*<style[^>]*>", ""),
        (r' type="text/css"| border="0"| xmlns(:v)?="[^"]*"|</?tbody>', ""),
        (r"<!\[endif\]--><!--\[if mso \| IE\]>", ""),
        # Outlook's table for our one column, in the table for its section
        (r"<!--\[if mso \| IE\]><table[^>]*><tr><td[^>]*width:600px[^>]*><!\[endif\]-->", ""),
        (r"(</table></div>)<!--\[if mso \| IE\]></td></tr></table><!\[endif\]-->(?=</td>)", r"\1"),
    )
]
_SHEET = re.compile(r"(?<=<style>)[^<]*")
_STYLE = re.compile(r'(?<= style=")[^"]*')
_FOR_OUTLOOK = re.compile(r"(?<!\s)\s*<!--\[if mso\]>.*?<!\[endif\]-->\s*", re.DOTALL)


def minify(html: str) -> str:
    """A page as MJML made it, with all that is seen of it, in fewer octets."""
    for pattern, instead in _NEEDLESS:
        html = pattern.sub(instead, html)
    html = _FOR_OUTLOOK.sub(lambda found: re.sub(r"\s+(?=<)|(?<=>)\s+", "", found[0]), html)
    for styles in (_SHEET, _STYLE):
        html = styles.sub(lambda found: _without_blanks(found[0]), html)
    return html


def _without_blanks(css: str) -> str:
    css = re.sub(r"\s*([{}:;,])\s*", r"\1", css.strip()).replace(";}", "}").removesuffix(";")
    return re.sub(r"(?<=[: ])0px\b", "0", css).replace("}}", "} }")  # never what ends a token
