"""Makes the screenshots of the console in README.md: `python -m local.screenshots`, by `make screenshots`.

Starts a local run with the simulator, edits records for a while, and takes the pictures with Chromium.
"""

from __future__ import annotations

import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

from local.browser import Browser, BrowserMissing, NotSeen, save
from local.control import Control
from local.options import ROOT

FOLDER = ROOT / "docs" / "images"
ACTIVITY_SECONDS = 90.0
EDITS = (
    ("change", "patients"),
    ("change", "appointments"),
    ("change", "appointments"),
    ("create", "appointments"),
    ("change", "clinical_notes"),
)


def main() -> int:
    try:
        with Browser() as browser, _run() as (console, simulator):
            browser.open(console)
            browser.until(lambda: browser.text("#live") == "Live", "the page does not become live")
            _a_busy_minute(Control(simulator))
            browser.until(lambda: re.search("Complete|In order", browser.text(".verdict")), "something is wrong", 60)
            browser.prefer("light")
            browser.resize(1280, 840)
            save(browser, FOLDER / "console.png")
            browser.prefer("dark")
            browser.resize(400, 840, mobile=True)
            save(browser, FOLDER / "console-phone.png")
    except (BrowserMissing, NotSeen) as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    for file in sorted(FOLDER.glob("console*.png")):
        print(f"{file.relative_to(ROOT)}: {file.stat().st_size // 1024} KiB")
    return 0


def _a_busy_minute(control: Control) -> None:
    chance = random.Random(7)
    end = time.monotonic() + ACTIVITY_SECONDS
    while time.monotonic() < end:
        edit, kind = chance.choice(EDITS)
        control.do(edit, kind=kind)
        time.sleep(chance.uniform(0.3, 3.0))


@contextmanager
def _run() -> Iterator[tuple[str, str]]:
    """Start a local run, wait until it has compared its copy, and yield the URLs of its console and simulator."""
    with tempfile.TemporaryDirectory() as home:
        command = [sys.executable, "-m", "local", "run", "--backend", "embedded", "--home", home]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as run:
            try:
                said = ""
                for line in run.stdout or ():
                    said += line
                    if "The copy equals the truth." in line:
                        break
                found = re.search(r"DrChrono simulator +(\S+)(?:.*\n)*?.* (\S+/enter\?key=\S+)", said)
                if found is None or "The copy equals" not in said:
                    raise NotSeen(f"the local run did not become ready:\n{said}")
                yield found[2], found[1]
            finally:
                run.terminate()


if __name__ == "__main__":
    sys.exit(main())
