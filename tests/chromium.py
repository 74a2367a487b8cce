"""A real Chromium without a window, driven over the WebDriver protocol, which chromedriver speaks."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MISSING = next(
    (
        f"{' or '.join(names)} is not installed"
        for names in (("chromedriver",), ("chromium", "google-chrome"))
        if not any(map(shutil.which, names))
    ),
    None,
)
"""Why there is no browser; None where there is one."""

DEADLINE = 60.0


class Page:
    """A page in the browser.

    Args:
        base: Where chromedriver answers, with the session.
    """

    def __init__(self, base: str) -> None:
        self._base = base

    def command(self, path: str, content: dict[str, Any] | None = None, method: str = "POST") -> Any:
        """Send a command, and return its value."""
        data = None if method == "GET" else json.dumps(content or {}).encode()
        request = urllib.request.Request(
            self._base + path, data, {"Content-Type": "application/json"}, method=method
        )
        with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
            return json.load(answer)["value"]

    def open(self, url: str) -> None:
        """Go to an address."""
        self.command("/url", {"url": url})

    def run(self, script: str, *arguments: object) -> Any:
        """Run a script's body, and return what it returns."""
        return self.command("/execute/sync", {"script": script, "args": list(arguments)})

    def until(self, script: str, *arguments: object, seconds: float = DEADLINE) -> Any:
        """Run an expression again and again, until it gives something; return that."""
        end = time.monotonic() + seconds
        while True:
            found = self.run(f"return {script}", *arguments)
            if found:
                return found
            assert time.monotonic() < end, (script, self.run("return document.body.innerText"), self.console())
            time.sleep(0.05)

    def devtools(self, name: str, **parameters: object) -> Any:
        """Call a method of the browser's own protocol."""
        return self.command("/goog/cdp/execute", {"cmd": name, "params": parameters})

    def console(self) -> list[str]:
        """What was written to the console since the last call, warnings and errors."""
        entries = self.command("/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] in ("WARNING", "SEVERE")]

    def press(self, key: str) -> None:
        """Press a key, such as ``\\ue004``, the tabulator."""
        actions = [{"type": kind, "value": key} for kind in ("keyDown", "keyUp")]
        self.command("/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def show_as(self, width: int, height: int, scheme: str, phone: bool = False) -> None:
        """Give the page a size and a colour scheme."""
        self.devtools(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone
        )
        self.devtools(
            "Emulation.setEmulatedMedia",
            features=[
                {"name": "prefers-color-scheme", "value": scheme},
                {"name": "prefers-reduced-motion", "value": "reduce"},
            ],
        )

    def laid_out(self) -> None:
        """Wait until the page is drawn in the size that it has now.

        The first frame lays it out and tells those who observe its size, the second one shows what they made.
        """
        script = "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => done(true)))"
        assert self.command("/execute/async", {"script": script, "args": []})

    def screenshot(self, path: Path, width: int = 1200, scheme: str = "light", phone: bool = False) -> None:
        """Take a picture of the whole page."""
        self.show_as(width, 800, scheme, phone)
        self.laid_out()
        height = self.run("return document.documentElement.scrollHeight")
        self.show_as(width, height, scheme, phone)
        self.laid_out()
        path.write_bytes(base64.b64decode(self.command("/screenshot", method="GET")))


@contextmanager
def browser() -> Iterator[Page]:
    """Start a browser, and end it with the block."""
    with tempfile.TemporaryDirectory(prefix="chromium-") as profile:
        driver = subprocess.Popen(
            ["chromedriver", "--port=0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "HOME": profile},
        )
        try:
            assert driver.stdout is not None
            said = _first(driver.stdout.readline, re.compile(r"successfully on port (\d+)"))
            base = f"http://127.0.0.1:{said}"
            arguments = [
                "--headless=new",
                "--no-sandbox",
                "--disable-dev-shm-usage",
                "--disable-gpu",
                "--no-first-run",
                "--disable-background-networking",
                f"--user-data-dir={profile}/profile",
            ]
            wanted = {
                "browserName": "chrome",
                "goog:chromeOptions": {"args": arguments},
                "goog:loggingPrefs": {"browser": "ALL"},
            }
            session = Page(base).command("/session", {"capabilities": {"alwaysMatch": wanted}})
            page = Page(f"{base}/session/{session['sessionId']}")
            try:
                yield page
            finally:
                page.command("", method="DELETE")
        finally:
            driver.terminate()
            driver.wait(10)
            if driver.stdout is not None:
                driver.stdout.close()


def _first(read: Callable[[], str], pattern: re.Pattern[str]) -> str:
    while line := read():
        found = pattern.search(line)
        if found:
            return found[1]
    raise AssertionError("chromedriver has ended")
