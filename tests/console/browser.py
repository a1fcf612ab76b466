"""A real Chromium, driven by Debian's chromedriver over WebDriver (W3C)."""

import base64
import http.client
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.mailserver import free_port
from tests.workers.deployment import until
from tests.workers.serving import answers

#: What takes half of a whole Chromium's time, as it draws no window of its own. Debian puts a script on the path,
#: which leaves it running when the driver ends it.
_SHELL = Path("/usr/lib/chromium/chromium-headless-shell")

DRIVER, CHROMIUM = shutil.which("chromedriver"), str(_SHELL) if _SHELL.exists() else shutil.which("chromium")

#: What finds what keeps people out of a page; `.ci/browser` fetches it.
AXE = Path(__file__).parents[2] / ".browser" / "node_modules" / "axe-core" / "axe.min.js"

#: Where pictures of each page are put, to be looked at; nowhere unless it is said.
PICTURES = os.environ.get("ROLLCALL_PICTURES")

#: Seconds between two looks at a page: each takes the browser, its driver and us some milliseconds.
LOOK = 0.05

_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"

KEYS = {"escape": "\ue00c", "enter": "\ue007", "space": " ", "tab": "\ue004", "up": "\ue013"}


class Browser:
    """A Chromium of which one window is used."""

    def __init__(self, port: int) -> None:
        self._port = port
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--lang=en"]
        options = {"args": arguments, "binary": CHROMIUM}
        logged = {"goog:loggingPrefs": {"browser": "ALL"}, "goog:chromeOptions": options}
        made = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": logged}})
        self._session = f"/session/{made['sessionId']}"

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        connection.request(method, path, json.dumps(body) if method == "POST" else None)
        with connection.getresponse() as response:
            value = json.loads(response.read())["value"]
        if isinstance(value, dict) and "error" in value:
            raise AssertionError(f"{path}: {value['error']}: {value['message'][:300]}")
        return value

    def do(self, path: str, **body: object) -> Any:
        """One command of WebDriver."""
        return self._ask("POST", f"{self._session}/{path}", body)

    def open(self, url: str) -> "Browser":
        """Open a page."""
        self.do("url", url=url)
        return self

    def cookie(self, name: str, value: str) -> None:
        """Have the browser keep a cookie of the page that is open."""
        self.do("cookie", cookie={"name": name, "value": value, "path": "/"})

    def sized(self, width: int, height: int) -> None:
        """How large the window is, inside."""
        chrome = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.do("goog/cdp/execute", cmd="Emulation.setDeviceMetricsOverride", params=chrome)

    def emulate(self, **features: str) -> None:
        """What the browser says of its surroundings: `prefers_color_scheme="dark"`."""
        said = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.do("goog/cdp/execute", cmd="Emulation.setEmulatedMedia", params={"features": said})

    def run(self, script: str, *arguments: object) -> Any:
        """What a script in the page answers."""
        return self.do("execute/sync", script=script, args=list(arguments))

    def click(self, selector: str) -> None:
        """Click on something."""
        self.do(f"element/{self._found(selector)}/click")

    def type(self, selector: str, text: str) -> None:
        """Type into something."""
        self.do(f"element/{self._found(selector)}/value", text=text)

    def press(self, key: str) -> None:
        """Press a key where the focus is."""
        self.keys(KEYS[key])

    def keys(self, text: str) -> None:
        """Type where the focus is."""
        focused = self._ask("GET", f"{self._session}/element/active")[_ELEMENT]
        self.do(f"element/{focused}/value", text=text)

    def _found(self, selector: str) -> str:
        return str(self.do("element", using="css selector", value=selector)[_ELEMENT])

    @property
    def says(self) -> str:
        """What can be read."""
        return str(self.run("return document.body.innerText"))

    def wait(self, text: str) -> None:
        """Wait until this can be read."""
        until(lambda: text in self.says, f"the page says {text!r}", look=LOOK)

    def wait_for(self, selector: str) -> None:
        """Wait until this is there."""
        wanted = "return document.querySelector(arguments[0]) !== null"
        until(lambda: bool(self.run(wanted, selector)), f"the page has {selector}", look=LOOK)

    def search(self, text: str) -> None:
        """Type into the search of a list, and wait until all of it was searched for, not only its first letters."""
        self.type("#search", text)
        searched = "return new URLSearchParams(location.search).get('search')"
        until(lambda: self.run(searched) == text, f"the list is searched for {text!r}", look=LOOK)

    def complaints(self) -> list[str]:
        """What the browser has to say of the pages: errors of scripts, and what the policy refuses."""
        said = self._ask("POST", f"{self._session}/se/log", {"type": "browser"})
        return [one["message"] for one in said if one["level"] in {"SEVERE", "WARNING"}]

    def violations(self) -> list[str]:
        """What axe finds wrong with the page."""
        if not self.run("return 'axe' in window"):  # it is large: once a page
            self.run(AXE.read_text(encoding="utf-8") + "; window.axe = axe")
        wait = "const done = arguments[0]; axe.run({rules: {'target-size': {enabled: true}}})"
        wait += ".then(found => done(found.violations.map(one => one.id + ': ' + "
        return [
            str(one)
            for one in self.do(
                "execute/async", script=wait + "one.nodes.map(node => node.html).join(' | ').slice(0, 300))))", args=[]
            )
        ]

    def picture(self, name: str) -> None:
        """A picture of the whole page, if pictures are wanted."""
        if PICTURES:
            taken = self.do("goog/cdp/execute", cmd="Page.captureScreenshot", params={"captureBeyondViewport": True})
            path = Path(PICTURES) / f"{re.sub(r'[^a-z0-9-]', '-', name)}.png"
            path.write_bytes(base64.b64decode(taken["data"]))

    @contextmanager
    def window(self, url: str) -> Iterator["Browser"]:
        """A new window with this page, in which nothing of an earlier one is known."""
        first = self._ask("GET", f"{self._session}/window")
        self.do("window", handle=self.do("window/new", type="window")["handle"])
        self.do("goog/cdp/execute", cmd="Network.clearBrowserCookies", params={})
        self.complaints()
        try:
            yield self.open(url)
        finally:
            self._ask("DELETE", f"{self._session}/window")
            self.do("window", handle=first)

    def close(self) -> None:
        """End it."""
        self._ask("DELETE", self._session)


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser."""
    port = free_port()
    driver = subprocess.Popen([DRIVER or "", f"--port={port}", "--silent"], stdout=subprocess.DEVNULL)
    try:
        until(lambda: answers(port), "the driver listens")
        opened = Browser(port)
        try:
            yield opened
        finally:
            opened.close()
    finally:
        driver.terminate()
        driver.wait()
