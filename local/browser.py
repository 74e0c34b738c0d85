"""Headless Chromium through ChromeDriver (w3.org/TR/webdriver2), for the tests and screenshots of the console.

The protocol is JSON over HTTP. The few commands needed fit in this module, so no package is required.
"""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import requests

from local.emulators import free_port, wait_for_port

ANSWER_SECONDS = 60.0
WAIT_SECONDS = 20.0
LOOK_SECONDS = 0.05
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the standard's key for a reference to an element


class BrowserMissing(Exception):
    """The text says what to install."""


class NotSeen(Exception):
    """The expected state did not appear in time, or a command failed."""


@dataclass(frozen=True)
class Installed:
    chromium: str
    driver: str


def find() -> Installed:
    """Return the paths of both programs. Raises BrowserMissing."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        raise BrowserMissing(
            "Chromium and its driver are not installed: install them (Debian: `apt install chromium chromium-driver`)"
        )
    return Installed(chromium, driver)


class Browser:
    """`with Browser() as browser:`. Both processes end with the block. Raises BrowserMissing."""

    def __init__(self, *, width: int = 1280, height: int = 900) -> None:
        self._installed = find()
        self._size = (width, height)

    def __enter__(self) -> Self:
        port = free_port()
        self._profile = tempfile.TemporaryDirectory(prefix="console-browser-", ignore_cleanup_errors=True)
        self._driver = subprocess.Popen(
            [self._installed.driver, f"--port={port}", "--allowed-ips=127.0.0.1"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": self._profile.name},
        )
        try:
            wait_for_port(port, self._driver, "chromedriver")
            self._url = f"http://127.0.0.1:{port}/session"
            options = {
                "binary": self._installed.chromium,
                "args": [
                    "--headless=new",
                    "--no-sandbox",  # it opens only our own pages, and root cannot use the sandbox
                    "--disable-dev-shm-usage",
                    "--disable-gpu",
                    "--hide-scrollbars",
                    f"--user-data-dir={self._profile.name}",
                ],
            }
            always = {
                "browserName": "chrome",
                "goog:chromeOptions": options,
                "goog:loggingPrefs": {"browser": "ALL"},
            }
            session = self._post("", {"capabilities": {"alwaysMatch": always}})
            self._url += f"/{session['sessionId']}"
            # A window in the background or without a screen has no focus, and its pages receive no focus events.
            self._cdp("Emulation.setFocusEmulationEnabled", {"enabled": True})
            self.resize(*self._size)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            requests.delete(self._url, timeout=ANSWER_SECONDS)
        finally:
            self._end()

    def _end(self) -> None:
        self._driver.terminate()
        self._driver.wait()
        self._profile.cleanup()

    def open(self, url: str) -> None:
        self._post("/url", {"url": url})

    @property
    def url(self) -> str:
        return str(self._get("/url"))

    @property
    def title(self) -> str:
        return str(self._get("/title"))

    def run(self, script: str, *arguments: object) -> Any:
        """Return the value that the script returns."""
        return self._post("/execute/sync", {"script": script, "args": arguments})

    def text(self, css: str = "body") -> str:
        """Return the visible text of the first element that matches; empty if there is none."""
        return str(self.run("const e = document.querySelector(arguments[0]); return e ? e.innerText : ''", css))

    def source(self) -> str:
        return str(self._get("/source"))

    def click(self, css: str) -> None:
        self._post(f"/element/{self._find(css)}/click", {})

    def type(self, css: str, text: str) -> None:
        self._post(f"/element/{self._find(css)}/value", {"text": text})

    def keys(self, *keys: str) -> None:
        """Press and release each key, on the element that has the focus."""
        pressed = [{"type": step, "value": key} for key in keys for step in ("keyDown", "keyUp")]
        self._post("/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": pressed}]})

    def until(self, reached: Callable[[], object], what: str, seconds: float = WAIT_SECONDS) -> None:
        """Wait until `reached` returns true. Raises NotSeen with `what` after `seconds`."""
        deadline = time.monotonic() + seconds
        while not reached():
            if time.monotonic() > deadline:
                raise NotSeen(f"{what}; the page reads:\n{self.text()[:2000]}")
            time.sleep(LOOK_SECONDS)

    def resize(self, width: int, height: int, *, mobile: bool = False, scale: float = 1) -> None:
        """Set the size of the page. A window cannot be as narrow as a phone."""
        size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": mobile}
        self._cdp("Emulation.setDeviceMetricsOverride", size)

    def prefer(self, scheme: str) -> None:
        """scheme: `light` or `dark`."""
        self._cdp("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})

    def picture(self) -> bytes:
        """Return a PNG of the visible part of the page."""
        return base64.b64decode(self._get("/screenshot"))

    def complaints(self) -> list[str]:
        """Return errors and warnings in the browser's console since the last call, such as violations of the CSP."""
        entries = self._post("/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] in ("SEVERE", "WARNING")]

    def _find(self, css: str) -> str:
        return str(self._post("/element", {"using": "css selector", "value": css})[ELEMENT])

    def _cdp(self, command: str, parameters: Mapping[str, object]) -> None:
        self._post("/goog/cdp/execute", {"cmd": command, "params": parameters})

    def _get(self, path: str) -> Any:
        return _value(requests.get(self._url + path, timeout=ANSWER_SECONDS))

    def _post(self, path: str, body: Mapping[str, object]) -> Any:
        return _value(requests.post(self._url + path, json=body, timeout=ANSWER_SECONDS))


def _value(answer: requests.Response) -> Any:
    value = answer.json()["value"]
    if answer.status_code != 200:
        raise NotSeen(f"{value['error']}: {value['message'].splitlines()[0]}")
    return value


def save(browser: Browser, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(browser.picture())
