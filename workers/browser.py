"""A picture of a page, made by a browser that is there anyway. It fetches nothing from anywhere."""

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

#: Programs that can do it, best first.
PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "firefox", "firefox-esr")
#: Seconds for one start of a browser.
PATIENCE_SECONDS = 60
#: Pixels: as wide as mail is shown on a desk, and as tall as a page may become.
WIDTH, TALLEST = 680, 16_000

#: What is put into the copy that the browser opens: nothing may be fetched, and only our own line may run.
_SEALED = (
    "<head><meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline';"
    " script-src 'nonce-height'\">"
)
_HEIGHT = '<script nonce="height">document.title = document.documentElement.scrollHeight</script></body>'


class NoPicture(Exception):
    """Why there is no picture."""


def find(named: str | None) -> str:
    """The browser with this name or path, or any. Raises NoPicture."""
    path = next((path for program in ([named] if named else PROGRAMS) if (path := shutil.which(program))), None)
    if path is not None:
        return path
    if named:
        raise NoPicture(f"No picture: ROLLCALL_BROWSER names {named}, and there is no such program.")
    raise NoPicture(f"No picture: none of {', '.join(PROGRAMS)} is on the PATH; ROLLCALL_BROWSER may name another.")


def picture(browser: str, html: str, png: Path) -> None:
    """Write a picture of the whole page. Raises NoPicture."""
    with TemporaryDirectory(prefix="rollcall-") as folder:
        page = Path(folder, "page.html")
        made = Path(folder, "page.png")
        page.write_text(html.replace("<head>", _SEALED, 1).replace("</body>", _HEIGHT, 1), encoding="utf-8")
        if "firefox" in Path(browser).name:
            _run(browser, ["--headless", "--profile", folder, f"--screenshot={made}", f"--window-size={WIDTH}"], page)
        else:
            seen = _run(browser, [*_chromium(folder), f"--window-size={WIDTH},600", "--dump-dom"], page)
            height = re.search(r"<title>(\d+)</title>", seen)
            if height is None:
                raise NoPicture(f"{browser} did not open the page.")
            size = f"--window-size={WIDTH},{min(int(height[1]), TALLEST)}"
            _run(browser, [*_chromium(folder), size, f"--screenshot={made}"], page)
        if not made.is_file():
            raise NoPicture(f"{browser} made no picture.")
        shutil.move(made, png)


def _chromium(profile: str) -> list[str]:
    flags = ["--headless", "--disable-gpu", "--hide-scrollbars", "--no-first-run", f"--user-data-dir={profile}/profile"]
    flags += ["--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"]
    return flags if os.geteuid() else [*flags, "--no-sandbox"]  # as root it does not start with one


def _run(browser: str, arguments: list[str], page: Path) -> str:
    """Start a browser and wait for its end; what it printed. None of its processes outlives this."""
    with subprocess.Popen(
        [browser, *arguments, page.as_uri()],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            printed, _ = process.communicate(timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise NoPicture(f"{browser} did not finish within {PATIENCE_SECONDS} s.") from None
    return printed.decode(errors="replace")
